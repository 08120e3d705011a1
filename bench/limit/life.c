/*
 * The limit: the life of a job in raw commands (XADD; XREADGROUP, XACK, XDEL), pipelined by hundreds over a unix socket,
 * without any logic. Whatever a queue on the same server does for a job comes on top of this.
 *
 *     life add|drain|both SOCKET JOBS CONNECTIONS BATCH
 *
 * add: every connection adds its share. drain: every connection, a consumer of its own, takes what is there until
 * nothing is left. both: every connection adds a batch, takes a batch and ends it, over and over. Two batches are under
 * way on each connection, so that the server never waits for a client that is reading. Each connection is a process.
 * Prints the jobs and the seconds from the first connection's start to the last one's end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 100, ID = 48, BATCH_MOST = 1000, BUFFER = 1 << 20 };

#define STREAM "$3\r\nraw\r\n"
#define GROUP "$1\r\ng\r\n"

typedef struct {
    int socket, batch;
    size_t filled, read_from, read_to;
    char out[BUFFER], in[BUFFER];
    char consumer[16];
    char ids[BATCH_MOST][ID];
    int id_sizes[BATCH_MOST], taken;
} Connection;

static void fail(const char *what) {
    fprintf(stderr, "life: %s: %s\n", what, errno ? strerror(errno) : "no such answer was expected");
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Sending */

static void flush(Connection *c) {
    size_t sent = 0;
    while (sent < c->filled) {
        ssize_t count = write(c->socket, c->out + sent, c->filled - sent);
        if (count <= 0) fail("write");
        sent += (size_t)count;
    }
    c->filled = 0;
}

static void put(Connection *c, const char *bytes, size_t size) {
    if (c->filled + size > BUFFER) flush(c);
    memcpy(c->out + c->filled, bytes, size);
    c->filled += size;
}

static void say(Connection *c, const char *text) { put(c, text, strlen(text)); }

static void say_bulk(Connection *c, const char *bytes, int size) {
    char head[16];
    put(c, head, (size_t)sprintf(head, "$%d\r\n", size));
    put(c, bytes, (size_t)size);
    say(c, "\r\n");
}

static void say_adds(Connection *c, int jobs) {
    static char command[256];
    static int size;
    if (!size) {
        char payload[PAYLOAD + 1];
        memset(payload, 'x', PAYLOAD);
        payload[PAYLOAD] = 0;
        size = sprintf(command, "*5\r\n$4\r\nXADD\r\n" STREAM "$1\r\n*\r\n$1\r\nt\r\n$%d\r\n%s\r\n", PAYLOAD, payload);
    }
    for (int i = 0; i < jobs; i++) put(c, command, (size_t)size);
}

static void say_take(Connection *c) {
    char count[16];
    say(c, "*9\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n" GROUP);
    say_bulk(c, c->consumer, (int)strlen(c->consumer));
    say(c, "$5\r\nCOUNT\r\n");
    say_bulk(c, count, sprintf(count, "%d", c->batch));
    say(c, "$7\r\nSTREAMS\r\n" STREAM "$1\r\n>\r\n");
}

static void say_ids(Connection *c) {
    for (int i = 0; i < c->taken; i++) say_bulk(c, c->ids[i], c->id_sizes[i]);
}

static void say_end(Connection *c) {
    char head[16];
    put(c, head, (size_t)sprintf(head, "*%d\r\n", c->taken + 3));
    say(c, "$4\r\nXACK\r\n" STREAM GROUP);
    say_ids(c);
    put(c, head, (size_t)sprintf(head, "*%d\r\n", c->taken + 2));
    say(c, "$4\r\nXDEL\r\n" STREAM);
    say_ids(c);
}

/* Receiving */

static void receive(Connection *c) {
    if (c->read_from == c->read_to) c->read_from = c->read_to = 0;
    if (c->read_to == BUFFER) {
        memmove(c->in, c->in + c->read_from, c->read_to - c->read_from);
        c->read_to -= c->read_from;
        c->read_from = 0;
    }
    ssize_t count = read(c->socket, c->in + c->read_to, BUFFER - c->read_to);
    if (count <= 0) fail("read");
    c->read_to += (size_t)count;
}

static char *have(Connection *c, size_t size) {
    while (c->read_to - c->read_from < size) receive(c);
    char *bytes = c->in + c->read_from;
    c->read_from += size;
    return bytes;
}

/* The type and the number of the next line: ":5", "*2", "$100" or "-ERR". */
static char read_line(Connection *c, long *number) {
    size_t size = 0;
    for (;;) {
        char *begin = c->in + c->read_from, *end = memchr(begin + size, '\n', c->read_to - c->read_from - size);
        if (end) {
            size = (size_t)(end - begin) + 1;
            break;
        }
        size = c->read_to - c->read_from;
        receive(c);
    }
    char *line = have(c, size);
    *number = strtol(line + 1, NULL, 10);
    if (line[0] == '-') {
        fprintf(stderr, "life: the server refused: %.*s", (int)size, line);
        exit(1);
    }
    return line[0];
}

/* One answer. Of [[stream, [[id, [field, value]], …]]] it keeps the ids: the first texts at depth 4. */
static void read_answer(Connection *c, int depth, int place) {
    long number;
    char type = read_line(c, &number);
    if (type == '*') {
        for (long i = 0; i < number; i++) read_answer(c, depth + 1, (int)i);
    } else if (type == '$' && number >= 0) {
        char *text = have(c, (size_t)number + 2);
        if (depth == 4 && place == 0) {
            if (number > ID || c->taken == BATCH_MOST) fail("ids");
            memcpy(c->ids[c->taken], text, (size_t)number);
            c->id_sizes[c->taken++] = (int)number;
        }
    }
}

static void read_plain(Connection *c, int answers) {
    for (int i = 0; i < answers; i++) read_answer(c, 0, 0);
}

static void read_taken(Connection *c) {
    c->taken = 0;
    read_answer(c, 0, 0);
}

/* What a connection does */

static void add(Connection *c, long jobs) {
    long said = 0, read = 0;
    while (read < jobs) {
        while (said < jobs && said - read < 2 * c->batch) {
            int count = jobs - said < c->batch ? (int)(jobs - said) : c->batch;
            say_adds(c, count);
            flush(c);
            said += count;
        }
        int count = said - read < c->batch ? (int)(said - read) : c->batch;
        read_plain(c, count);
        read += count;
    }
}

static void say_end_and_take(Connection *c) {
    say_end(c);
    say_take(c);
    flush(c);
}

/* Answers come as: take, take, then (end, take) for every take that found something. */
static void drain(Connection *c, long jobs) {
    long unread = 0;
    (void)jobs;
    for (int i = 0; i < 2; i++) {
        say_take(c);
        flush(c);
    }
    for (int i = 0; i < 2; i++) {
        read_taken(c);
        if (!c->taken) continue;
        say_end_and_take(c);
        unread++;
    }
    while (unread) {
        read_plain(c, 2);
        read_taken(c);
        unread--;
        if (!c->taken) continue;
        say_end_and_take(c);
        unread++;
    }
}

/* Answers come as: (adds, take) twice, then (end, adds, take), and the ends of the last two. */
static void both(Connection *c, long jobs) {
    long rounds = jobs / c->batch, said = 0, ended = 0;
    for (; said < rounds && said < 2; said++) {
        say_adds(c, c->batch);
        say_take(c);
        flush(c);
    }
    for (long i = 0; i < rounds; i++) {
        if (i >= 2) {
            read_plain(c, 2);
            ended++;
        }
        read_plain(c, c->batch);
        read_taken(c);
        say_end(c);
        if (said < rounds) {
            say_adds(c, c->batch);
            say_take(c);
            said++;
        }
        flush(c);
    }
    read_plain(c, 2 * (int)(rounds - ended));
}

static void work(const char *what, const char *path, long jobs, int number, int batch) {
    static Connection c; /* zeroed; a process has one */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) fail("the socket's path is too long");
    strcpy(address.sun_path, path);
    c.batch = batch;
    sprintf(c.consumer, "c%d", number);
    c.socket = socket(AF_UNIX, SOCK_STREAM, 0);
    if (c.socket < 0 || connect(c.socket, (struct sockaddr *)&address, sizeof address)) fail("connect");
    if (!strcmp(what, "add")) add(&c, jobs);
    else if (!strcmp(what, "drain")) drain(&c, jobs);
    else both(&c, jobs);
    close(c.socket);
    exit(0);
}

static long positive(const char *text, long most) {
    char *end;
    long number = strtol(text, &end, 10);
    if (*end || number < 1 || number > most) {
        fprintf(stderr, "life: %s is no number from 1 to %ld\n", text, most);
        exit(2);
    }
    return number;
}

int main(int count, char **words) {
    if (count != 6 || (strcmp(words[1], "add") && strcmp(words[1], "drain") && strcmp(words[1], "both"))) {
        fprintf(stderr, "usage: life add|drain|both SOCKET JOBS CONNECTIONS BATCH\n");
        return 2;
    }
    long jobs = positive(words[3], 1000000000);
    int connections = (int)positive(words[4], 64), batch = (int)positive(words[5], BATCH_MOST), failed = 0, status;
    jobs = jobs / connections / batch * batch * connections;
    double began = now();
    for (int i = 0; i < connections; i++) {
        pid_t child = fork();
        if (child < 0) fail("fork");
        if (!child) work(words[1], words[2], jobs / connections, i, batch);
    }
    for (int i = 0; i < connections; i++) failed |= wait(&status) < 0 || status;
    printf("%ld %.6f\n", jobs, now() - began);
    return failed ? 1 : 0;
}
