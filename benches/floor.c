/* The least that a quorum lock around a command can cost: what redlock is measured against.
 *
 *   floor [-w] PORT... -- COMMAND [ARG]...
 *
 * Connects to all servers of 127.0.0.1 at once, sends each one script, goes on with a majority of
 * grants, forks and executes, and when the command has ended sends compare-and-delete everywhere and
 * waits for a majority of answers. Without -w a lock that is not got is exit 75; with it, it is tried
 * again after 1 to 5 ms. No extension, no time limit, no fencing, no signals, no guard: not a lock
 * to be used. cc -O2 -static. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_NODES = 16 };

static const char ACQUIRE[] =
    "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', 30000) and 1 or 0";
static const char RELEASE[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

static struct pollfd nodes[MOST_NODES];
static int count;
static char token[33];

/* Sends a script to every node that is there, and counts answers until `wanted` are 1 or all came. */
static int ask(const char *script, int wanted) {
    char request[1024], reply[64];
    int length = snprintf(request, sizeof request,
                          "*5\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n1\r\n$10\r\nlock:bench\r\n"
                          "$32\r\n%s\r\n", strlen(script), script, token);
    int yes = 0, left = 0;
    for (int i = 0; i < count; i++) {
        nodes[i].events = POLLOUT;
        left += nodes[i].fd >= 0;
    }
    while (left > 0 && yes < wanted && poll(nodes, count, -1) > 0) {
        for (int i = 0; i < count; i++) {
            if (nodes[i].fd < 0 || nodes[i].revents == 0) continue;
            if (nodes[i].events == POLLOUT && !(nodes[i].revents & (POLLERR | POLLHUP))) {
                if (write(nodes[i].fd, request, length) == length) {
                    nodes[i].events = POLLIN;
                    continue;
                }
            } else if (nodes[i].events == POLLIN && read(nodes[i].fd, reply, sizeof reply) > 1) {
                yes += reply[0] == ':' && reply[1] == '1';
                nodes[i].events = 0;
                left--;
                continue;
            }
            close(nodes[i].fd);
            nodes[i].fd = -1;
            left--;
        }
    }
    return yes;
}

int main(int argc, char **argv) {
    int wait = argc > 1 && strcmp(argv[1], "-w") == 0;
    char **next = argv + 1 + wait;
    for (; *next && strcmp(*next, "--") != 0 && count < MOST_NODES; next++) {
        int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(*next)),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) fd = -1;
        nodes[count++].fd = fd;
    }
    if (!*next || !next[1] || count == 0) return 64;

    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != sizeof random) return 71;
    for (int i = 0; i < 16; i++) sprintf(token + 2 * i, "%02x", random[i]);
    srand(random[0] << 8 | random[1]);

    int quorum = count / 2 + 1;
    while (ask(ACQUIRE, quorum) < quorum) {
        ask(RELEASE, count);
        if (!wait) return 75;
        struct timespec pause = { 0, 1000000 + rand() % 4000000 };
        nanosleep(&pause, NULL);
    }
    pid_t child = fork();
    if (child == 0) {
        execvp(next[1], next + 1);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    /* An answer to ACQUIRE that was not waited for may come first and be counted: still the floor. */
    ask(RELEASE, quorum);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
