/*
 * A disk that forgets what was not synced: preloaded into a server process, it keeps beside the process's data folder a
 * shadow that holds only what would survive a power cut at this very moment.
 *
 * Environment: POWERCUT_LIVE, the data folder (absolute, without links); POWERCUT_SHADOW, the shadow; POWERCUT_LIE,
 * when set, makes a disk that says "synced" and keeps nothing; POWERCUT_DELAY, microseconds by which the first write
 * after a sync is late, so that a kill often meets what was promised before it was written.
 *
 * The shadow: `inodes/<number>` is the durable content of the live file with that inode number; `tree/` holds the
 * durable names, as hard links to those. Whoever starts the process makes both equal to the data folder first.
 *
 * The model is the strict reading of POSIX:
 *  - what was written into a file, and its length, is durable after an fsync or fdatasync of that file, whichever
 *    descriptor it came by;
 *  - a name (creation, rename, removal) is durable after an fsync of its folder, and not by a sync of the file alone,
 *    although most file systems do more; a named file that was never synced is empty;
 *  - writes are tracked in sectors of 512 bytes, and a sector is never half old and half new. A kill in the middle of a
 *    sync leaves the part that was copied, in ascending order.
 * Sectors and names that reached the disk without any sync (and the order in which they may) are the business of whoever
 * reads the shadow: the live file still has them.
 *
 * What it does not model: writes through mmap (SQLite maps only its wal-index, `-shm`, which is rebuilt after a crash and
 * left out here), O_SYNC, sync(), syncfs(), io_uring, links between folders, ranges copied by a failed write, and the
 * wear of a sync that fails. System calls made without libc are seen late but not missed: a descriptor is looked up at
 * its first use, and names are compared with the folder when it is synced.
 *
 * Only for 64-bit Linux.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef __LP64__
#error "offsets are passed to the kernel in one register"
#endif

#define SECTOR 512
#define EXPORT __attribute__((visibility("default")))

/* Descriptors: what is known of each, without a lock, since a forked child may close some while another thread held it. */
enum { UNKNOWN, OUTSIDE, FILE_INSIDE, FOLDER_INSIDE };
#define DESCRIPTORS 65536
static _Atomic unsigned char known[DESCRIPTORS];

/* A live file's writes since its last sync. */
struct inode {
    ino_t number;
    struct inode *next;
    unsigned char *dirty; /* one bit a sector */
    size_t sectors;       /* that `dirty` has room for */
    off_t floor;          /* the shortest it was since its last sync: what the shadow has beyond is stale */
    int whole;            /* everything is to be copied */
    int touched;          /* written since its last sync */
};
#define BUCKETS 1024
static struct inode *inodes[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static char live[PATH_MAX], shadow[PATH_MAX];
static size_t live_length;
static dev_t device;
static int lying;
static long delay;
static _Atomic int on;

/* Nothing that goes wrong in here may pass for a durable disk: better no process than a wrong verdict. */
static void refuse(const char *what) {
    fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void start(void) {
    const char *from = getenv("POWERCUT_LIVE"), *to = getenv("POWERCUT_SHADOW");
    struct stat st;
    if (!from || !to)
        return;
    if (strlen(from) >= sizeof live || strlen(to) >= sizeof shadow || stat(from, &st) != 0)
        refuse("the folders can't be used");
    strcpy(live, from);
    strcpy(shadow, to);
    live_length = strlen(live);
    device = st.st_dev;
    lying = getenv("POWERCUT_LIE") != NULL;
    const char *late = getenv("POWERCUT_DELAY");
    delay = late ? atol(late) : 0;
    atomic_store(&on, 1);
}

static int real_open(const char *path, int flags, mode_t mode) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

static void real_close(int fd) { syscall(SYS_close, fd); }

static void forget(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS)
        atomic_store(&known[fd], UNKNOWN);
}

/* The path of a descriptor below the live folder, "" for that folder itself; 0 when it is elsewhere. */
static int path_below(int fd, char *relative, size_t room) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, live, live_length) != 0 || (path[live_length] != '/' && path[live_length] != 0))
        return 0;
    const char *rest = path + live_length + (path[live_length] == '/');
    return (size_t)snprintf(relative, room, "%s", rest) < room;
}

/* What a descriptor is, looked up once. Leaves errno alone. */
static unsigned char kind_of(int fd) {
    if (!atomic_load(&on) || fd < 0)
        return OUTSIDE;
    unsigned char kind = fd < DESCRIPTORS ? atomic_load(&known[fd]) : UNKNOWN;
    if (kind != UNKNOWN)
        return kind;
    int before = errno;
    struct stat st;
    char relative[PATH_MAX];
    kind = OUTSIDE;
    if (fstat(fd, &st) == 0 && st.st_dev == device && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) &&
        path_below(fd, relative, sizeof relative))
        kind = S_ISDIR(st.st_mode) ? FOLDER_INSIDE : FILE_INSIDE;
    if (fd < DESCRIPTORS)
        atomic_store(&known[fd], kind);
    errno = before;
    return kind;
}

static void content_path(char *path, ino_t number) {
    if (snprintf(path, PATH_MAX, "%s/inodes/%ju", shadow, (uintmax_t)number) >= PATH_MAX)
        refuse("a path is too long");
}

/* The record of a live file; under the lock. */
static struct inode *inode_of(ino_t number) {
    struct inode **bucket = &inodes[number % BUCKETS];
    for (struct inode *found = *bucket; found; found = found->next)
        if (found->number == number)
            return found;
    struct inode *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        refuse("no memory");
    char path[PATH_MAX];
    content_path(path, number);
    fresh->number = number;
    fresh->floor = LONG_MAX;
    fresh->whole = access(path, F_OK) != 0;
    fresh->next = *bucket;
    return *bucket = fresh;
}

static void mark(int fd, off_t start, size_t length) {
    int before = errno;
    struct stat st;
    if (length == 0 || fstat(fd, &st) != 0)
        goto out;
    pthread_mutex_lock(&lock);
    struct inode *inode = inode_of(st.st_ino);
    size_t first = (size_t)start / SECTOR, end = ((size_t)start + length + SECTOR - 1) / SECTOR;
    if (end > inode->sectors) {
        size_t room = (end * 2 + 7) / 8;
        unsigned char *more = realloc(inode->dirty, room);
        if (!more)
            refuse("no memory");
        memset(more + inode->sectors / 8, 0, room - inode->sectors / 8);
        inode->dirty = more;
        inode->sectors = room * 8;
    }
    for (size_t sector = first; sector < end; sector++)
        inode->dirty[sector / 8] |= (unsigned char)(1 << sector % 8);
    pthread_mutex_unlock(&lock);
out:
    errno = before;
}

static void mark_whole(int fd) {
    int before = errno;
    struct stat st;
    if (fstat(fd, &st) == 0) {
        pthread_mutex_lock(&lock);
        inode_of(st.st_ino)->whole = 1;
        pthread_mutex_unlock(&lock);
    }
    errno = before;
}

static void mark_shorter(int fd, off_t length) {
    int before = errno;
    struct stat st;
    if (fstat(fd, &st) == 0) {
        pthread_mutex_lock(&lock);
        struct inode *inode = inode_of(st.st_ino);
        if (length < inode->floor)
            inode->floor = length;
        pthread_mutex_unlock(&lock);
    }
    errno = before;
}

/* A new file has got the number of a removed one, whose content may still have a durable name. */
static void mark_fresh(int fd) {
    int before = errno;
    struct stat st;
    char path[PATH_MAX];
    if (fstat(fd, &st) == 0) {
        pthread_mutex_lock(&lock);
        struct inode *inode = inode_of(st.st_ino);
        content_path(path, st.st_ino);
        unlink(path);
        if (inode->dirty)
            memset(inode->dirty, 0, inode->sectors / 8);
        inode->floor = LONG_MAX;
        inode->whole = 1;
        pthread_mutex_unlock(&lock);
    }
    errno = before;
}

static void copy(int from, int to, off_t start, off_t end) {
    char buffer[65536];
    while (start < end) {
        size_t wanted = (size_t)(end - start) < sizeof buffer ? (size_t)(end - start) : sizeof buffer;
        ssize_t got = pread(from, buffer, wanted, start);
        if (got < 0)
            refuse("a live file can't be read");
        if (got == 0)
            return; /* it became shorter meanwhile */
        if (syscall(SYS_pwrite64, to, buffer, (size_t)got, start) != got)
            refuse("the shadow can't be written");
        start += got;
    }
}

static void keep_file(int fd) {
    struct stat st;
    char path[PATH_MAX];
    if (fstat(fd, &st) != 0)
        refuse("a synced file can't be looked at");
    /* Not with a descriptor of our own where that can be avoided: closing one drops the process's POSIX locks. */
    int from = fd;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        from = real_open(link, O_RDONLY, 0);
    }
    pthread_mutex_lock(&lock);
    struct inode *inode = inode_of(st.st_ino);
    content_path(path, st.st_ino);
    int to = real_open(path, O_RDWR | O_CREAT, 0600);
    if (from < 0 || to < 0)
        refuse("a file can't be opened");
    if (inode->whole)
        inode->floor = 0;
    if (inode->floor < st.st_size && syscall(SYS_ftruncate, to, inode->floor) != 0)
        refuse("the shadow can't be cut");
    if (inode->whole)
        copy(from, to, 0, st.st_size);
    else
        for (size_t sector = 0; sector < inode->sectors; sector++) {
            size_t end = sector;
            while (end < inode->sectors && inode->dirty[end / 8] & (1 << end % 8))
                end++;
            if (end > sector)
                copy(from, to, (off_t)sector * SECTOR,
                     (off_t)end * SECTOR < st.st_size ? (off_t)end * SECTOR : st.st_size);
            sector = end;
        }
    if (syscall(SYS_ftruncate, to, st.st_size) != 0)
        refuse("the shadow can't be cut");
    if (inode->dirty)
        memset(inode->dirty, 0, inode->sectors / 8);
    inode->floor = LONG_MAX;
    inode->whole = 0;
    inode->touched = 0;
    pthread_mutex_unlock(&lock);
    real_close(to);
    if (from != fd)
        real_close(from);
}

static int is_left_out(const char *name) {
    size_t length = strlen(name);
    return !strcmp(name, ".") || !strcmp(name, "..") || (length > 4 && !strcmp(name + length - 4, "-shm"));
}

static void join(char *path, const char *folder, const char *name) {
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        refuse("a path is too long");
}

/* Gives the live file `st` its durable name. */
static void keep_name(const struct stat *st, const char *durable) {
    char content[PATH_MAX], fresh[PATH_MAX];
    struct stat named, kept;
    content_path(content, st->st_ino);
    int made = real_open(content, O_WRONLY | O_CREAT, 0600);
    if (made < 0 || fstat(made, &kept) != 0)
        refuse("the shadow can't be written");
    real_close(made);
    if (lstat(durable, &named) == 0 && named.st_ino == kept.st_ino)
        return;
    join(fresh, shadow, "fresh-name");
    unlink(fresh);
    if (link(content, fresh) != 0 || rename(fresh, durable) != 0)
        refuse("the shadow can't take a name");
}

static void make_folders(char *path) {
    for (char *slash = path + strlen(shadow) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    mkdir(path, 0700);
}

/* Makes the durable names of one folder those it has now: first what is new, then without what is gone. */
static void keep_names(int fd) {
    char relative[PATH_MAX], from[PATH_MAX], to[PATH_MAX], path[PATH_MAX], durable[PATH_MAX];
    struct dirent *entry;
    struct stat st;
    if (!path_below(fd, relative, sizeof relative))
        return;
    join(from, live, relative);
    join(path, shadow, "tree");
    join(to, path, relative);
    pthread_mutex_lock(&lock);
    make_folders(to);
    DIR *folder = opendir(from);
    if (!folder)
        refuse("a live folder can't be read");
    while ((entry = readdir(folder))) {
        join(path, from, entry->d_name);
        join(durable, to, entry->d_name);
        if (is_left_out(entry->d_name) || lstat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            mkdir(durable, 0700);
        else if (S_ISREG(st.st_mode))
            keep_name(&st, durable);
    }
    closedir(folder);
    if (!(folder = opendir(to)))
        refuse("the shadow can't be read");
    while ((entry = readdir(folder))) {
        join(path, from, entry->d_name);
        join(durable, to, entry->d_name);
        if (!is_left_out(entry->d_name) && lstat(path, &st) != 0 && unlink(durable) != 0)
            rmdir(durable);
    }
    closedir(folder);
    pthread_mutex_unlock(&lock);
}

static int synced(int fd, long result) {
    unsigned char kind = kind_of(fd);
    int before = errno;
    if (result == 0 && !lying && kind == FILE_INSIDE)
        keep_file(fd);
    if (result == 0 && !lying && kind == FOLDER_INSIDE)
        keep_names(fd);
    errno = before;
    return (int)result;
}

/* Before a write. */
static int late(int fd) {
    struct stat st;
    if (delay <= 0 || kind_of(fd) != FILE_INSIDE || fstat(fd, &st) != 0)
        return fd;
    pthread_mutex_lock(&lock);
    struct inode *inode = inode_of(st.st_ino);
    int first = !inode->touched;
    inode->touched = 1;
    pthread_mutex_unlock(&lock);
    if (first)
        usleep((useconds_t)delay);
    return fd;
}

static ssize_t written(int fd, off_t offset, ssize_t count) {
    if (count > 0 && kind_of(fd) == FILE_INSIDE)
        mark(fd, offset, (size_t)count);
    return count;
}

/* Behind a write at the descriptor's own position, which has moved already. */
static ssize_t written_here(int fd, ssize_t count) {
    if (count > 0 && kind_of(fd) == FILE_INSIDE) {
        int before = errno;
        off_t end = lseek(fd, 0, SEEK_CUR);
        errno = before;
        mark(fd, end - count, (size_t)count);
    }
    return count;
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    struct stat st;
    int before = errno;
    int is_new = (flags & O_CREAT) && fstatat(folder, path, &st, AT_SYMLINK_NOFOLLOW) != 0;
    errno = before;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd < 0)
        return fd;
    forget(fd);
    if (!(flags & O_PATH) && kind_of(fd) == FILE_INSIDE) {
        if (is_new)
            mark_fresh(fd);
        else if (flags & O_TRUNC)
            mark_shorter(fd, 0);
    }
    return fd;
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

EXPORT int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}
EXPORT int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}
EXPORT int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return opened(folder, path, flags, mode);
}
EXPORT int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return opened(folder, path, flags, mode);
}
EXPORT int creat(const char *path, mode_t mode) {
    return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
EXPORT int creat64(const char *path, mode_t mode) {
    return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* Forgotten before it is closed: afterwards another thread may have got the number. */
EXPORT int close(int fd) {
    forget(fd);
    return (int)syscall(SYS_close, fd);
}
EXPORT int dup3(int from, int to, int flags) {
    forget(to);
    return (int)syscall(SYS_dup3, from, to, flags);
}
EXPORT int dup2(int from, int to) {
    if (from == to)
        return fcntl(from, F_GETFD) < 0 ? -1 : to;
    return dup3(from, to, 0);
}

EXPORT ssize_t write(int fd, const void *data, size_t count) {
    return written_here(fd, syscall(SYS_write, late(fd), data, count));
}
EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    return written_here(fd, syscall(SYS_writev, late(fd), parts, count));
}
EXPORT ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    return written(fd, offset, syscall(SYS_pwrite64, late(fd), data, count, offset));
}
EXPORT ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    return written(fd, offset, syscall(SYS_pwrite64, late(fd), data, count, offset));
}
EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return written(fd, offset, syscall(SYS_pwritev, late(fd), parts, count, offset, 0L));
}
EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return written(fd, offset, syscall(SYS_pwritev, late(fd), parts, count, offset, 0L));
}

/* Copies inside the kernel are rare here (an upload), and whole files. */
EXPORT ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count, unsigned flags) {
    ssize_t copied = syscall(SYS_copy_file_range, from, from_at, to, to_at, count, flags);
    if (copied > 0 && kind_of(to) == FILE_INSIDE)
        mark_whole(to);
    return copied;
}
EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t count) {
    ssize_t copied = syscall(SYS_sendfile, to, from, offset, count);
    if (copied > 0 && kind_of(to) == FILE_INSIDE)
        mark_whole(to);
    return copied;
}
EXPORT ssize_t sendfile64(int to, int from, off64_t *offset, size_t count) { return sendfile(to, from, offset, count); }

EXPORT int ftruncate(int fd, off_t length) {
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (result == 0 && kind_of(fd) == FILE_INSIDE)
        mark_shorter(fd, length);
    return result;
}
EXPORT int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

EXPORT int fsync(int fd) { return synced(fd, syscall(SYS_fsync, fd)); }
EXPORT int fdatasync(int fd) { return synced(fd, syscall(SYS_fdatasync, fd)); }
