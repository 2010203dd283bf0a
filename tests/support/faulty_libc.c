/* Stands before the C library: some call that writes below a directory fails, or is slow, or the clock jumps.

   FAULTY_BELOW    directory (a prefix of absolute paths)
   FAULTY_AFTER    so many calls of a process succeed first
   FAULTY_COUNT    so many fail then (-1: all of them)
   FAULTY_ERRNO    with this error; 0 lets them succeed
   FAULTY_SLOW_US  after so many microseconds each
   FAULTY_JUMP_S   seconds that the wall clock is wrong by, from FAULTY_JUMP_AFTER_S after the start of a process  */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long calls;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

static int below(const char *path) {
    const char *directory = getenv("FAULTY_BELOW");
    char absolute[PATH_MAX];
    if (!directory || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(absolute, sizeof absolute)) return 0;
        strncat(absolute, "/", sizeof absolute - strlen(absolute) - 1);
        strncat(absolute, path, sizeof absolute - strlen(absolute) - 1);
        path = absolute;
    }
    return strncmp(path, directory, strlen(directory)) == 0;
}

static int open_below(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return path[0] == '/' && below(path);
}

static int fails(void) {
    long call = __sync_fetch_and_add(&calls, 1), after = number("FAULTY_AFTER", 0), count = number("FAULTY_COUNT", -1);
    usleep(number("FAULTY_SLOW_US", 0));
    if (!number("FAULTY_ERRNO", 0) || call < after || (count >= 0 && call >= after + count)) return 0;
    errno = number("FAULTY_ERRNO", 0);
    return 1;
}

#define NEXT(type, name) static type (*next)(); if (!next) next = (type (*)()) dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *data, size_t size) {
    NEXT(ssize_t, write);
    return open_below(file) && fails() ? -1 : next(file, data, size);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t where) {
    NEXT(ssize_t, pwrite64);
    return open_below(file) && fails() ? -1 : next(file, data, size, where);
}
ssize_t writev(int file, const struct iovec *data, int count) {
    NEXT(ssize_t, writev);
    return open_below(file) && fails() ? -1 : next(file, data, count);
}
int fsync(int file) {
    NEXT(int, fsync);
    return open_below(file) && fails() ? -1 : next(file);
}
int mkdir(const char *path, mode_t mode) {
    NEXT(int, mkdir);
    return below(path) && fails() ? -1 : next(path, mode);
}
int rename(const char *from, const char *to) {
    NEXT(int, rename);
    return below(to) && fails() ? -1 : next(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    NEXT(int, renameat);
    return below(to) && fails() ? -1 : next(a, from, b, to);
}

static int opened(int (*next)(), const char *path, int flags, mode_t mode) {
    return (flags & O_CREAT) && below(path) && fails() ? -1 : next(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    NEXT(int, open64);
    return opened(next, path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    NEXT(int, open);
    return opened(next, path, flags, mode);
}

int clock_gettime(clockid_t which, struct timespec *time) {
    NEXT(int, clock_gettime);
    static time_t start;
    struct timespec now;
    int status = next(which, time);
    if (which == CLOCK_REALTIME && getenv("FAULTY_JUMP_S")) {
        next(CLOCK_MONOTONIC, &now);
        if (!start) start = now.tv_sec;
        if (now.tv_sec - start >= number("FAULTY_JUMP_AFTER_S", 0)) time->tv_sec += number("FAULTY_JUMP_S", 0);
    }
    return status;
}
