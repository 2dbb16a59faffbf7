//! What was opened in one way is not taken for what is opened in another.

use std::fs;

use super::house::House;

/// Replaces a child by one with these settings; how often the host was connected to, before and after a further request.
fn connects_after(house: &mut House, change: impl FnOnce(&mut House)) -> (u64, u64) {
    let old = house.start(&[]);
    let mut visitor = house.visit();
    assert_eq!(visitor.ask("one"), "re:one");
    let before = house.host.connects();
    change(house);
    let _new = house.start(&[&old]);
    old.hand_over();
    old.join();
    assert_eq!(visitor.ask("two"), "re:two");
    (before, house.host.connects())
}

#[test]
fn a_connection_that_was_greeted_in_another_way_is_not_taken_over() {
    let mut house = House::new();
    let file = house.dir.path().join("greeting");
    fs::write(&file, "send hello\nexpect ^re:hello$\n").unwrap();
    assert_eq!(connects_after(&mut house, |house| house.settings.greeting = Some(file)), (1, 2));
}

#[test]
fn a_connection_that_was_greeted_alike_is_taken_over() {
    let mut house = House::new();
    let file = house.dir.path().join("greeting");
    fs::write(&file, "send hello\nexpect ^re:hello$\n").unwrap();
    house.settings.greeting = Some(file);
    assert_eq!(connects_after(&mut house, |house| house.settings.window = 7), (1, 1));
}
