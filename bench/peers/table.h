/* The table that the peers serve: ten columns of lcmsServerTable and
 * lcmsServerStatsTable, as table.go has them. Its rows are loaded from a file
 * with "SERVICE SERVER ADDRESS WEIGHT" on each line, in the order of the table. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_KEY 52
#define MAX_INDEX (2 * (1 + MAX_KEY))

struct key { char text[MAX_KEY + 1]; };

struct line {
    struct key service, server;
    uint8_t address[4];
    uint32_t weight;
};

/* next_line reads one line; 0 at the end. */
static int next_line(FILE *f, struct line *l)
{
    unsigned a, b, c, d, w;
    int n = fscanf(f, "%52s %52s %u.%u.%u.%u %u", l->service.text, l->server.text, &a, &b, &c, &d, &w);
    if (n == EOF)
        return 0;
    if (n != 7) {
        fprintf(stderr, "the file of rows has a broken line\n");
        exit(1);
    }
    l->address[0] = a; l->address[1] = b; l->address[2] = c; l->address[3] = d;
    l->weight = w;
    return 1;
}

static FILE *open_rows(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        exit(1);
    }
    return f;
}

/* put_time makes the DateAndTime of now, in UTC. */
static void put_time(uint8_t t[11])
{
    struct timespec now;
    struct tm u;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &u);
    t[0] = (u.tm_year + 1900) >> 8; t[1] = (u.tm_year + 1900) & 0xff;
    t[2] = u.tm_mon + 1; t[3] = u.tm_mday;
    t[4] = u.tm_hour; t[5] = u.tm_min; t[6] = u.tm_sec; t[7] = now.tv_nsec / 100000000;
    t[8] = '+'; t[9] = 0; t[10] = 0;
}
