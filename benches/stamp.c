/* The job of the measurements: tells when it began and when it ended.
 *
 *   stamp FILE MS
 *
 * Appends "BEGAN ENDED\n" to FILE, nanoseconds of the monotonic clock, MS milliseconds apart, in one
 * write. Static, so that starting it takes next to no time. cc -O2 -static. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv) {
    long long began = now();
    if (argc != 3) return 64;
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600), ms = atoi(argv[2]);
    struct timespec pause = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep(&pause, NULL);
    char line[64];
    int length = snprintf(line, sizeof line, "%lld %lld\n", began, now());
    return write(file, line, length) == length ? 0 : 1;
}
