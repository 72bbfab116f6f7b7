/* What a process asks of the files below one directory, in the order in which it was done, with what it sends to
   sockets in between. Loaded into any dynamically linked server with LD_PRELOAD, and into the children it forks.

       OPLOG_ROOT   the directory, absolute, without a slash at its end
       OPLOG_FILE   the log: made by whoever starts the server, as large as it may become, mapped by all processes
       OPLOG_SYNC_US  how much longer an fsync takes than it would, at most: the directory may be in memory

   One lock for all processes and threads is held around each change and its record, so that the order of the records
   is the order of the changes. An fsync is two records, as it covers what was done before it began. A send is recorded
   before it is made: whatever a client can know of is in the log before.

   What the C library writes for itself behind fwrite is found at the next fflush: until then it is nowhere. Not seen:
   mmap, io_uring, sendfile. Whoever reads the log compares what it makes of all records with the real directory. */

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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, MKDIR, SEND };

#define MAX_FD 65536
#define MAX_PATH 4096
#define MAX_SENT 65536

struct head {
    pthread_mutex_t lock;
    volatile uint32_t ready; /* 1: one process makes the lock, 2: it is made */
    uint32_t next_id;
    uint64_t size, end; /* of the file; of what was recorded */
};

struct record {
    uint32_t size, operation, pid, id; /* size: of record, first and second together */
    int64_t position;
    double at;
    uint32_t first, second;
};

#define HEAD_BYTES 4096

static struct head *head;
static char root[MAX_PATH];
static size_t root_length;
static uint32_t sync_us;
static uint32_t ids[MAX_FD];      /* which opening it is of: 0, of nothing that concerns us */
static int64_t stdio_at[MAX_FD];  /* of a FILE: up to where it was recorded; otherwise -1 */

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("OPLOG_FILE"), *directory = getenv("OPLOG_ROOT");
    if (!file || !directory) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    struct stat found;
    if (fd < 0 || fstat(fd, &found)) abort();
    struct head *mapped = mmap(NULL, found.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) abort();
    syscall(SYS_close, fd);
    snprintf(root, sizeof root, "%s", directory);
    root_length = strlen(root);
    if (getenv("OPLOG_SYNC_US")) sync_us = atoi(getenv("OPLOG_SYNC_US"));
    if (__sync_bool_compare_and_swap(&mapped->ready, 0, 1)) {
        pthread_mutexattr_t kind;
        pthread_mutexattr_init(&kind);
        pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST); /* a child may be killed that holds it */
        pthread_mutex_init(&mapped->lock, &kind);
        mapped->size = found.st_size;
        mapped->end = HEAD_BYTES;
        mapped->next_id = 1;
        mapped->ready = 2;
    }
    while (mapped->ready != 2) usleep(100);
    head = mapped;
}

static void lock(void) {
    if (pthread_mutex_lock(&head->lock) == EOWNERDEAD) pthread_mutex_consistent(&head->lock);
}

static void unlock(void) { pthread_mutex_unlock(&head->lock); }

/* A record with room for so many bytes behind it; the caller has the lock, and fills them before it lets go. */
static char *record(uint32_t operation, uint32_t id, int64_t position, size_t first, size_t second) {
    size_t size = (sizeof(struct record) + first + second + 7) & ~(size_t)7;
    if (head->end + size > head->size) {
        static const char full[] = "oplog: the log is full\n";
        syscall(SYS_write, 2, full, sizeof full - 1);
        abort();
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct record *made = (struct record *)((char *)head + head->end);
    *made = (struct record){size, operation, getpid(), id, position, now.tv_sec + now.tv_nsec / 1e9, first, second};
    head->end += size;
    return (char *)(made + 1);
}

static void record_bytes(uint32_t operation, uint32_t id, int64_t position, const void *data, size_t size) {
    memcpy(record(operation, id, position, size, 0), data, size);
}

static void record_paths(uint32_t operation, const char *one, const char *two) {
    size_t first = strlen(one), second = strlen(two);
    char *place = record(operation, 0, 0, first, second);
    memcpy(place, one, first);
    memcpy(place + first, two, second);
}

/* The path below the root, with a slash before it; NULL: it is elsewhere. */
static const char *below(const char *path, char *space) {
    if (!head) return NULL;
    if (path[0] == '/') {
        snprintf(space, MAX_PATH, "%s", path);
    } else {
        char here[MAX_PATH];
        if (!getcwd(here, sizeof here)) return NULL;
        while (!strncmp(path, "./", 2)) path += 2;
        if (snprintf(space, MAX_PATH, "%s/%s", here, strcmp(path, ".") ? path : "") >= MAX_PATH) return NULL;
    }
    for (char *at = space; *at; at++) /* "//" and "/./" are one slash */
        while (at[0] == '/' && (at[1] == '/' || (at[1] == '.' && at[2] == '/')))
            memmove(at, at + (at[1] == '/' ? 1 : 2), strlen(at + (at[1] == '/' ? 1 : 2)) + 1);
    if (strncmp(space, root, root_length) || (space[root_length] != '/' && space[root_length])) return NULL;
    const char *rest = space + root_length;
    return *rest ? rest : "/";
}

static uint32_t id_of(int fd) { return head && fd >= 0 && fd < MAX_FD ? ids[fd] : 0; }

static void opened(int fd, const char *path, int truncates) {
    if (fd < 0 || fd >= MAX_FD) return;
    ids[fd] = head->next_id++;
    stdio_at[fd] = -1;
    record_bytes(OPEN, ids[fd], truncates, path, strlen(path));
}

/* Whatever the C library has written of a FILE since it was looked at last. The caller has the lock. */
static void catch_up(int fd) {
    struct stat found;
    if (!id_of(fd) || stdio_at[fd] < 0 || fstat(fd, &found)) return;
    char path[64], data[65536];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    while (again >= 0 && stdio_at[fd] < found.st_size) {
        ssize_t got = syscall(SYS_pread64, again, data, sizeof data, stdio_at[fd]);
        if (got <= 0) break;
        record_bytes(WRITE, ids[fd], stdio_at[fd], data, got);
        stdio_at[fd] += got;
    }
    if (again >= 0) syscall(SYS_close, again);
}

/* Opening and closing. */

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        char space[MAX_PATH]; \
        const char *ours = below(path, space); \
        if (!ours) return real(path, flags, mode); \
        lock(); \
        int fd = real(path, flags, mode); \
        int error = errno; \
        opened(fd, ours, !!(flags & O_TRUNC)); \
        unlock(); \
        errno = error; \
        return fd; \
    }
OPENING(open)
OPENING(open64)

#define STDIO_OPENING(name) \
    FILE *name(const char *path, const char *mode) { \
        REAL(name); \
        char space[MAX_PATH]; \
        const char *ours = below(path, space); \
        if (!ours) return real(path, mode); \
        lock(); \
        FILE *file = real(path, mode); \
        int error = errno; \
        if (file) { \
            int fd = fileno(file); \
            opened(fd, ours, mode[0] == 'w'); \
            struct stat found; \
            if (mode[0] != 'r' && id_of(fd)) stdio_at[fd] = fstat(fd, &found) ? 0 : found.st_size; \
        } \
        unlock(); \
        errno = error; \
        return file; \
    }
STDIO_OPENING(fopen)
STDIO_OPENING(fopen64)

int close(int fd) {
    REAL(close);
    if (!id_of(fd)) return real(fd);
    lock();
    ids[fd] = 0;
    int result = real(fd);
    unlock();
    return result;
}

int fflush(FILE *file) {
    REAL(fflush);
    if (!file || !id_of(fileno(file))) return real(file);
    lock();
    int result = real(file), error = errno;
    catch_up(fileno(file));
    unlock();
    errno = error;
    return result;
}

int fclose(FILE *file) {
    REAL(fclose);
    if (!id_of(fileno(file))) return real(file);
    fflush(file);
    lock();
    ids[fileno(file)] = 0;
    int result = real(file);
    unlock();
    return result;
}

/* Changes of a file. */

static void sending(int fd, const struct iovec *parts, int count) {
    struct stat found;
    if (!head || fstat(fd, &found) || !S_ISSOCK(found.st_mode)) return;
    size_t size = 0, at = 0;
    for (int i = 0; i < count; i++) size += parts[i].iov_len;
    if (size > MAX_SENT) size = MAX_SENT;
    lock();
    char *place = record(SEND, fd, 0, size, 0);
    for (int i = 0; i < count && at < size; i++) {
        size_t piece = parts[i].iov_len < size - at ? parts[i].iov_len : size - at;
        memcpy(place + at, parts[i].iov_base, piece);
        at += piece;
    }
    unlock();
}

static void wrote(int fd, int64_t position, const struct iovec *parts, ssize_t size) {
    char *place = record(WRITE, ids[fd], position, size, 0);
    for (ssize_t at = 0; at < size; parts++) {
        size_t piece = (ssize_t)parts->iov_len < size - at ? parts->iov_len : (size_t)(size - at);
        memcpy(place + at, parts->iov_base, piece);
        at += piece;
    }
}

/* `call` is made under the lock; `position`: where it wrote, or -1 for just before where the file now stands. */
#define WRITING(fd, call, parts, count, position) \
    do { \
        if (!id_of(fd)) { \
            if ((position) < 0) sending(fd, parts, count); \
            return call; \
        } \
        lock(); \
        ssize_t size = call; \
        int error = errno; \
        if (size > 0) wrote(fd, (position) < 0 ? lseek(fd, 0, SEEK_CUR) - size : (position), parts, size); \
        unlock(); \
        errno = error; \
        return size; \
    } while (0)

ssize_t write(int fd, const void *data, size_t length) {
    REAL(write);
    struct iovec part = {(void *)data, length};
    WRITING(fd, real(fd, data, length), &part, 1, (int64_t)-1);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    WRITING(fd, real(fd, parts, count), parts, count, (int64_t)-1);
}

#define POSITIONED(name, type) \
    ssize_t name(int fd, const void *data, size_t length, type position) { \
        REAL(name); \
        struct iovec part = {(void *)data, length}; \
        WRITING(fd, real(fd, data, length, position), &part, 1, (int64_t)position); \
    }
POSITIONED(pwrite, off_t)
POSITIONED(pwrite64, off64_t)

#define POSITIONED_PARTS(name, type) \
    ssize_t name(int fd, const struct iovec *parts, int count, type position) { \
        REAL(name); \
        WRITING(fd, real(fd, parts, count, position), parts, count, (int64_t)position); \
    }
POSITIONED_PARTS(pwritev, off_t)
POSITIONED_PARTS(pwritev64, off64_t)

#define POSITIONED_FLAGGED(name, type) \
    ssize_t name(int fd, const struct iovec *parts, int count, type position, int flags) { \
        REAL(name); \
        WRITING(fd, real(fd, parts, count, position, flags), parts, count, (int64_t)position); \
    }
POSITIONED_FLAGGED(pwritev2, off_t)
POSITIONED_FLAGGED(pwritev64v2, off64_t)

#define TRUNCATING(name, type) \
    int name(int fd, type size) { \
        REAL(name); \
        if (!id_of(fd)) return real(fd, size); \
        lock(); \
        int result = real(fd, size), error = errno; \
        if (!result) record(TRUNCATE, ids[fd], size, 0, 0); \
        unlock(); \
        errno = error; \
        return result; \
    }
TRUNCATING(ftruncate, off_t)
TRUNCATING(ftruncate64, off64_t)

#define SYNCING(name) \
    int name(int fd) { \
        REAL(name); \
        uint32_t id = id_of(fd); \
        if (!id) return real(fd); \
        lock(); \
        catch_up(fd); \
        int64_t begun = head->end; \
        record(SYNC_BEGIN, id, begun, 0, 0); \
        unlock(); \
        if (sync_us) usleep((useconds_t)(begun / 8 % 97 * sync_us / 97)); \
        int result = real(fd), error = errno; \
        lock(); \
        if (!result) record(SYNC_END, id, begun, 0, 0); \
        unlock(); \
        errno = error; \
        return result; \
    }
SYNCING(fsync)
SYNCING(fdatasync)

/* Changes of a directory. */

int rename(const char *from, const char *to) {
    REAL(rename);
    char space[MAX_PATH], more[MAX_PATH];
    const char *one = below(from, space), *two = below(to, more);
    if (!one || !two) return real(from, to);
    lock();
    int result = real(from, to), error = errno;
    if (!result) record_paths(RENAME, one, two);
    unlock();
    errno = error;
    return result;
}

int unlink(const char *path) {
    REAL(unlink);
    char space[MAX_PATH];
    const char *ours = below(path, space);
    if (!ours) return real(path);
    lock();
    int result = real(path), error = errno;
    if (!result) record_paths(UNLINK, ours, "");
    unlock();
    errno = error;
    return result;
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    char space[MAX_PATH];
    const char *ours = below(path, space);
    if (!ours) return real(path, mode);
    lock();
    int result = real(path, mode), error = errno;
    if (!result) record_paths(MKDIR, ours, "");
    unlock();
    errno = error;
    return result;
}

/* What clients are told by other ways than write. */

ssize_t send(int fd, const void *data, size_t length, int flags) {
    REAL(send);
    struct iovec part = {(void *)data, length};
    sending(fd, &part, 1);
    return real(fd, data, length, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    sending(fd, message->msg_iov, (int)message->msg_iovlen);
    return real(fd, message, flags);
}
