/* The least that a look through all keys costs: what `redlock list` is measured against.
 *
 *   scan PORT...
 *
 * Goes through the keys of each server of 127.0.0.1, one server after the other, with SCAN and COUNT
 * 5000, and reads past them. cc -O2 -static. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int server;
static char buffer[1 << 18];
static ssize_t length, at;

/* Makes sure that there is something to read. */
static void fill(void) {
    if (at < length) return;
    length = read(server, buffer, sizeof buffer);
    at = 0;
    if (length <= 0) exit(1);
}

/* Reads a line, without its end, of which no more than `size` - 1 bytes are wanted. */
static void read_line(char *line, size_t size) {
    size_t end = 0;
    for (;;) {
        fill();
        char byte = buffer[at++];
        if (byte == '\n') break;
        if (byte != '\r' && end < size - 1) line[end++] = byte;
    }
    line[end] = 0;
}

static void skip(ssize_t bytes) {
    while (bytes > 0) {
        fill();
        ssize_t some = length - at < bytes ? length - at : bytes;
        at += some;
        bytes -= some;
    }
}

static void scan(int port) {
    char cursor[32] = "0", line[64], request[96];
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    server = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(server, (struct sockaddr *)&address, sizeof address) != 0) exit(1);
    length = at = 0;
    do {
        int size = snprintf(request, sizeof request, "SCAN %s COUNT 5000\r\n", cursor);
        if (write(server, request, size) != size) exit(1);
        /* Two answers: the next cursor, which is text, and the keys. */
        read_line(line, sizeof line);
        read_line(line, sizeof line);
        read_line(cursor, sizeof cursor);
        read_line(line, sizeof line);
        for (long keys = atol(line + 1); keys > 0; keys--) {
            read_line(line, sizeof line);
            skip(atol(line + 1) + 2);
        }
    } while (strcmp(cursor, "0") != 0);
    close(server);
}

int main(int argc, char **argv) {
    if (argc < 2) return 64;
    for (int i = 1; i < argc; i++) scan(atoi(argv[i]));
    return 0;
}
