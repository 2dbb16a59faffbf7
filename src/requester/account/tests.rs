//! The account: answers leave in order, whatever order they come in, and nothing is kept that is not owed.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn answers_leave_in_the_order_of_the_requests(order in Just((0u32..40).collect::<Vec<_>>()).prop_shuffle()) {
        let (mut account, mut spares) = (Account::default(), Spares::default());
        for id in 0..40 {
            if id % 7 == 3 { account.answer(format!("busy {id}\n").as_bytes()); } else { account.owe(TransactionId(id)); }
        }
        let mut read = Vec::new();
        for id in order.into_iter().filter(|id| id % 7 != 3) {
            let end = format!("ply {id}\n");
            prop_assert!(account.settle(TransactionId(id), b"re".to_vec(), end.as_bytes()));
            let count = account.unsent().len() / 2;
            read.extend_from_slice(&account.unsent()[..count]);
            account.wrote(count, &mut spares);
        }
        read.extend_from_slice(account.unsent());
        account.wrote(account.unsent().len(), &mut spares);
        let expected: String = (0..40).map(|id| {
            if id % 7 == 3 { format!("busy {id}\n") } else { format!("reply {id}\n") }
        }).collect();
        prop_assert_eq!(String::from_utf8(read).unwrap(), expected);
        prop_assert!(account.is_settled());
    }
}

#[test]
fn a_requester_that_owes_and_is_owed_nothing_costs_64_bytes() {
    assert!(size_of::<Account>() <= 64, "{} bytes", size_of::<Account>());
}

#[test]
fn a_transaction_is_answered_once() {
    let mut account = Account::default();
    account.owe(TransactionId(1));
    assert!(account.settle(TransactionId(1), Vec::new(), b"a\n"));
    assert!(!account.settle(TransactionId(1), Vec::new(), b"b\n"));
    assert_eq!(account.unsent(), b"a\n");
}

#[test]
fn a_large_reply_is_passed_on_in_its_turn_only() {
    let mut account = Account::default();
    account.owe(TransactionId(1));
    account.owe(TransactionId(2));
    assert!(!account.pass(TransactionId(2), b"x"));
    assert!(account.pass(TransactionId(1), b"y"));
    assert_eq!(account.unsent(), b"y");
}
