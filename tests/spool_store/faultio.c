/* A library to be preloaded: records what a program writes and syncs below FAULTIO_ROOT, and makes the Nth write or
 * sync fail. Built by the test that uses it.
 *
 * Recording: appended to the file FAULTIO_LOG if that is set. One record: op (1 byte), inode, a, b (8 bytes each,
 * native), length (4 bytes), data. Ops: C create (data: path), W write (a: offset), T truncate (a: size),
 * S sync, R rename (data: from NUL to), U unlink (data: path), M mkdir (data: path), D sync of a directory.
 *
 * Faults: unlink("/faultio/arm/KIND/N") arms the Nth operation from now; KIND is eio, enospc, short (half of a write,
 * then ENOSPC once) or full (ENOSPC for each write that makes a file longer, until disarmed). unlink("/faultio/fired")
 * works if it has fired, and disarms.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static char root[512];
static unsigned char ours[4096]; /* 1 file, 2 directory */
static int armed, fired, kind, echo_full;
static long left;
enum { EIO_, ENOSPC_, SHORT, FULL };

__attribute__((constructor)) static void begin(void) {
    const char *r = getenv("FAULTIO_ROOT"), *l = getenv("FAULTIO_LOG");
    if (r) snprintf(root, sizeof root, "%s", r);
    if (l) log_fd = (int)syscall(SYS_openat, AT_FDCWD, l, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}
static int below(const char *path) { size_t n = strlen(root); return n && !strncmp(path, root, n); }
static int mine(int fd) { return fd >= 0 && fd < 4096 ? ours[fd] : 0; }
static void put(char op, uint64_t ino, uint64_t a, const void *data, uint32_t len) {
    if (log_fd < 0) return;
    char head[29]; uint64_t b = 0;
    head[0] = op; memcpy(head + 1, &ino, 8); memcpy(head + 9, &a, 8); memcpy(head + 17, &b, 8); memcpy(head + 25, &len, 4);
    pthread_mutex_lock(&lock);
    if (syscall(SYS_write, log_fd, head, sizeof head) < 0 || (len && syscall(SYS_write, log_fd, data, len) < 0)) abort();
    pthread_mutex_unlock(&lock);
}
static uint64_t inode(int fd) { struct stat s; return fstat(fd, &s) ? 0 : s.st_ino; }
static off_t length(int fd) { struct stat s; return fstat(fd, &s) ? 0 : s.st_size; }
/* -1: pass; else the errno, or SHORT's mark 9999 */
static int strike(int is_write, int fd, off_t end) {
    if (echo_full && is_write) { echo_full = 0; return ENOSPC; }
    if (!armed) return -1;
    if (kind == FULL && left <= 0) return is_write && end > length(fd) ? ENOSPC : -1;
    if (--left > 0) return -1;
    fired = 1;
    if (kind == FULL) return is_write && end > length(fd) ? ENOSPC : -1;
    armed = 0;
    if (kind == SHORT) { if (is_write) { echo_full = 1; return 9999; } return -1; }
    return kind == EIO_ ? EIO : ENOSPC;
}
static int do_open(int dir, const char *path, int flags, mode_t mode) {
    struct stat s; int there = below(path) && !stat(path, &s);
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fd < 0 || fd >= 4096) return fd;
    ours[fd] = 0;
    if (below(path)) {
        struct stat now; fstat(fd, &now);
        ours[fd] = S_ISDIR(now.st_mode) ? 2 : 1;
        if (!there) put('C', now.st_ino, 0, path, strlen(path));
        else if (flags & O_TRUNC) put('T', now.st_ino, 0, 0, 0);
    }
    return fd;
}
#define MODE mode_t m = 0; if (flags & (O_CREAT | __O_TMPFILE)) { va_list v; va_start(v, flags); m = va_arg(v, mode_t); va_end(v); }
int open(const char *p, int flags, ...) { MODE return do_open(AT_FDCWD, p, flags, m); }
int open64(const char *p, int flags, ...) { MODE return do_open(AT_FDCWD, p, flags, m); }
int openat(int d, const char *p, int flags, ...) { MODE return do_open(d, p, flags, m); }
int openat64(int d, const char *p, int flags, ...) { MODE return do_open(d, p, flags, m); }
int close(int fd) { if (fd >= 0 && fd < 4096) ours[fd] = 0; return (int)syscall(SYS_close, fd); }
static ssize_t wrote(int fd, const void *data, size_t len, off_t at, int seek) {
    int what = strike(1, fd, at + (off_t)len);
    if (what == 9999) len = len / 2;
    else if (what >= 0) { errno = what; return -1; }
    ssize_t n = seek ? syscall(SYS_write, fd, data, len) : syscall(SYS_pwrite64, fd, data, len, at);
    if (n > 0) put('W', inode(fd), at, data, (uint32_t)n);
    return n;
}
ssize_t write(int fd, const void *data, size_t len) {
    if (mine(fd) != 1) return syscall(SYS_write, fd, data, len);
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (fcntl(fd, F_GETFL) & O_APPEND) at = length(fd);
    return wrote(fd, data, len, at, 1);
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) {
    return mine(fd) == 1 ? wrote(fd, data, len, at, 0) : syscall(SYS_pwrite64, fd, data, len, at);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) { return pwrite(fd, data, len, at); }
int ftruncate(int fd, off_t size) {
    int n = (int)syscall(SYS_ftruncate, fd, size);
    if (!n && mine(fd) == 1) put('T', inode(fd), size, 0, 0);
    return n;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }
int posix_fallocate(int fd, off_t at, off_t len) {
    int what = mine(fd) == 1 ? strike(1, fd, at + len) : -1;
    if (what == 9999) what = ENOSPC;
    if (what >= 0) return what;
    if (syscall(SYS_fallocate, fd, 0, at, len)) return errno;
    if (mine(fd) == 1) put('T', inode(fd), at + len, 0, 0);
    return 0;
}
int posix_fallocate64(int fd, off_t at, off_t len) { return posix_fallocate(fd, at, len); }
static int synced(int fd, long call) {
    int own = mine(fd), what = own ? strike(0, fd, 0) : -1;
    if (what >= 0 && what != 9999) { errno = what; return -1; }
    int n = (int)syscall(call, fd);
    if (!n && own) put(own == 2 ? 'D' : 'S', inode(fd), 0, 0, 0);
    return n;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
int rename(const char *from, const char *to) {
    int n = (int)syscall(SYS_rename, from, to);
    if (!n && below(from)) {
        char both[2048]; int len = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
        put('R', 0, 0, both, (uint32_t)len);
    }
    return n;
}
int mkdir(const char *path, mode_t mode) {
    int n = (int)syscall(SYS_mkdir, path, mode);
    if (!n && below(path)) put('M', 0, 0, path, strlen(path));
    return n;
}
int unlink(const char *path) {
    if (!strncmp(path, "/faultio/arm/", 13)) {
        const char *k = path + 13, *n = strchr(k, '/');
        kind = *k == 's' ? SHORT : *k == 'f' ? FULL : k[1] == 'i' ? EIO_ : ENOSPC_;
        left = atol(n + 1); armed = 1; fired = 0; echo_full = 0;
        return 0;
    }
    if (!strcmp(path, "/faultio/fired")) {
        armed = 0; echo_full = 0;
        if (fired) return 0;
        errno = ENOENT; return -1;
    }
    int n = (int)syscall(SYS_unlink, path);
    if (!n && below(path)) put('U', 0, 0, path, strlen(path));
    return n;
}
