/* The floor: a responder that has every name and value as AgentX bytes and only
 * copies them. One blocking read and one write for each PDU. It finds a row by a
 * hash of the bytes of its index. It is no agent: it takes any SET of a weight
 * for good, and knows the requests of the bench only.
 * usage: floor SOCKET ROWS */
#include "table.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { OPEN = 1, CLOSE = 2, REGISTER = 3, GET = 5, GET_NEXT = 6, TEST_SET = 8, COMMIT_SET = 9, UNDO_SET = 10,
       CLEANUP_SET = 11, PING = 13, RESPONSE = 18 };
enum { INTEGER = 2, OCTET_STRING = 4, GAUGE32 = 66, COUNTER64 = 70, NO_SUCH_INSTANCE = 129, END_OF_MIB_VIEW = 130 };
enum { HEADER = 20, COLUMNS = 10, MAX_VALUE = 16 };
enum { PREFIX = 4 }; /* of names: 1.3.6.1.4, RFC 2741 section 5.1 */

static const struct { uint32_t table, number; uint16_t type, size; } columns[COLUMNS] = {
    { 1, 3, OCTET_STRING, 8 }, { 1, 6, INTEGER, 4 }, { 1, 7, GAUGE32, 4 }, { 1, 9, GAUGE32, 4 }, { 1, 21, INTEGER, 4 },
    { 1, 23, OCTET_STRING, 16 }, { 2, 1, COUNTER64, 8 }, { 2, 4, COUNTER64, 8 }, { 2, 5, COUNTER64, 8 }, { 2, 11, GAUGE32, 4 },
};
enum { WEIGHT = 2, OPER_WEIGHT = 3 };

/* The sub-identifiers of a name after PREFIX: these, the table, 1, the column,
 * and the index. */
static const uint32_t root[] = { 1, 8072, 9999, 9999, 5267, 1, 5 };
enum { ROOT = sizeof root / sizeof *root, TO_TABLE = ROOT, TO_COLUMN = ROOT + 2, TO_INDEX = ROOT + 3 };
enum { MODULE = 5 }; /* of root, the OID of lcmsMIB */

struct row {
    uint32_t n; /* sub-identifiers in index */
    uint32_t *index;
    uint8_t value[COLUMNS][MAX_VALUE];
};

static struct row *rows;
static long count;
static uint32_t *buckets, mask; /* number of the row + 1, 0 = empty */
static int master;
static uint32_t session, packet;
static uint8_t in[1 << 18], out[1 << 18];
static size_t have;

static uint8_t *put16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); return p + 2; }
static uint8_t *put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); return p + 4; }
static uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

static uint32_t hash(const uint8_t *p, uint32_t n)
{
    uint64_t h = n;
    while (n--) {
        h = (h ^ get32(p)) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
        p += 4;
    }
    return h;
}

static long find(const uint8_t *index, uint32_t n)
{
    uint32_t at;
    for (at = hash(index, n) & mask; buckets[at]; at = (at + 1) & mask) {
        const struct row *r = &rows[buckets[at] - 1];
        if (r->n == n && !memcmp(r->index, index, 4 * n))
            return buckets[at] - 1;
    }
    return -1;
}

static uint32_t put_key(uint32_t *o, const char *text)
{
    uint32_t i, n = strlen(text);
    o[0] = n;
    for (i = 0; i < n; i++)
        o[1 + i] = (uint8_t)text[i];
    return 1 + n;
}

static void load(const char *path)
{
    FILE *f = open_rows(path);
    struct line l;
    long i, room = 0;
    while (next_line(f, &l)) {
        uint32_t index[MAX_INDEX], n;
        struct row *r;
        if (count == room)
            rows = realloc(rows, (room = room ? 2 * room : 1024) * sizeof *rows);
        n = put_key(index, l.service.text);
        n += put_key(index + n, l.server.text);
        r = &rows[count++];
        memset(r, 0, sizeof *r);
        r->n = n;
        r->index = malloc(4 * n);
        memcpy(r->index, index, 4 * n);
        memcpy(put32(r->value[0], 4), l.address, 4);
        put32(r->value[1], 1);
        put32(r->value[WEIGHT], l.weight);
        put32(r->value[OPER_WEIGHT], l.weight);
        put32(r->value[4], 1);
        put_time(put32(r->value[5], 11));
    }
    fclose(f);
    for (mask = 1024; mask < 2 * count; mask *= 2) ;
    buckets = calloc(mask--, sizeof *buckets);
    for (i = 0; i < count; i++) {
        uint32_t at = hash((uint8_t *)rows[i].index, rows[i].n) & mask;
        while (buckets[at])
            at = (at + 1) & mask;
        buckets[at] = i + 1;
    }
}

static void send_all(size_t n)
{
    const uint8_t *p = out;
    while (n) {
        ssize_t k = write(master, p, n);
        if (k <= 0)
            exit(0);
        p += k;
        n -= k;
    }
}

/* receive waits for one PDU at in and returns its size. */
static size_t receive(void)
{
    for (;;) {
        ssize_t k;
        if (have >= HEADER && have >= HEADER + get32(in + 16))
            return HEADER + get32(in + 16);
        k = read(master, in + have, sizeof in - have);
        if (k <= 0)
            exit(0);
        have += k;
    }
}

static void drop(size_t n)
{
    memmove(in, in + n, have - n);
    have -= n;
}

static void put_header(int type, uint32_t transaction, uint32_t pk, uint8_t *end)
{
    uint8_t *p = out;
    *p++ = 1; *p++ = type; *p++ = 0; *p++ = 0;
    p = put32(put32(put32(p, session), transaction), pk);
    put32(p, end - out - HEADER);
}

static uint8_t *put_name(uint8_t *p, const uint32_t *sub, int n)
{
    *p++ = n; *p++ = PREFIX; *p++ = 0; *p++ = 0;
    memcpy(p, sub, 4 * n);
    return p + 4 * n;
}

/* ask sends what is in out and waits for its answer. */
static void ask(int type, uint8_t *end)
{
    size_t n;
    put_header(type, 0, ++packet, end);
    send_all(end - out);
    while (n = receive(), in[1] != RESPONSE)
        drop(n);
    if (in[24] || in[25]) {
        fprintf(stderr, "the master refused PDU type %d\n", type);
        exit(1);
    }
    if (!session)
        session = get32(in + 4);
    drop(n);
}

static void attach(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    uint8_t *p = out + HEADER;
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    master = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(master, (void *)&to, sizeof to)) {
        perror(path);
        exit(1);
    }
    p = put32(p, 0);
    p = put_name(p, root, MODULE);
    p = put32(p, 5);
    memcpy(p, "floor\0\0", 8);
    ask(OPEN, p + 8);
    p = out + HEADER;
    *p++ = 0; *p++ = 127; *p++ = 0; *p++ = 0;
    ask(REGISTER, put_name(p, root, MODULE));
}

/* locate finds the column and the row of a name; the row is -1 if the name ends
 * with the column. 0 if there is none such. */
static int locate(const uint8_t *name, int *column, long *row)
{
    uint32_t table, number;
    int n = name[0], c;
    if (name[1] != PREFIX || n < TO_INDEX || memcmp(name + 4, root, sizeof root))
        return 0;
    table = get32(name + 4 + 4 * TO_TABLE);
    number = get32(name + 4 + 4 * TO_COLUMN);
    for (c = 0; c < COLUMNS && !(columns[c].table == table && columns[c].number == number); c++) ;
    *column = c;
    *row = -1;
    if (c == COLUMNS)
        return 0;
    return n == TO_INDEX || (*row = find(name + 4 + 4 * TO_INDEX, n - TO_INDEX)) >= 0;
}

static uint8_t *put_varbind(uint8_t *p, int c, const struct row *r)
{
    p = put16(put16(p, columns[c].type), 0);
    *p++ = TO_INDEX + r->n; *p++ = PREFIX; *p++ = 0; *p++ = 0;
    memcpy(p, root, sizeof root);
    p = put32(put32(put32(p + sizeof root, columns[c].table), 1), columns[c].number);
    memcpy(p, r->index, 4 * r->n);
    p += 4 * r->n;
    memcpy(p, r->value[c], MAX_VALUE);
    return p + columns[c].size;
}

static uint8_t *put_exception(uint8_t *p, int type, const uint8_t *name)
{
    p = put16(put16(p, type), 0);
    memcpy(p, name, 4 + 4 * name[0]);
    p[2] = 0;
    return p + 4 + 4 * name[0];
}

static const uint8_t *after_name(const uint8_t *p) { return p + 4 + 4 * p[0]; }

static uint8_t *answer_read(uint8_t *p, const uint8_t *q, const uint8_t *end, int next)
{
    while (q < end) {
        const uint8_t *name = q;
        int c;
        long r;
        q = after_name(after_name(q));
        if (!locate(name, &c, &r) || (!next && r < 0)) {
            p = put_exception(p, next ? END_OF_MIB_VIEW : NO_SUCH_INSTANCE, name);
            continue;
        }
        if (next && !(name[2] && r >= 0) && ++r == count) {
            r = 0;
            c++;
        }
        p = c == COLUMNS ? put_exception(p, END_OF_MIB_VIEW, name) : put_varbind(p, c, &rows[r]);
    }
    return p;
}

static void take_set(const uint8_t *q, const uint8_t *end)
{
    while (q < end) {
        const uint8_t *value = after_name(q + 4);
        int c;
        long r;
        if (!locate(q + 4, &c, &r) || c != WEIGHT || r < 0) {
            fprintf(stderr, "a SET of something else than a weight\n");
            exit(1);
        }
        memcpy(rows[r].value[WEIGHT], value, 4);
        memcpy(rows[r].value[OPER_WEIGHT], value, 4);
        q = value + 4;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: floor SOCKET ROWS\n");
        return 2;
    }
    load(argv[2]);
    attach(argv[1]);
    for (;;) {
        size_t n = receive();
        int type = in[1];
        uint8_t *p = out + HEADER + 8;
        memset(out + HEADER, 0, 8);
        switch (type) {
        case GET: p = answer_read(p, in + HEADER, in + n, 0); break;
        case GET_NEXT: p = answer_read(p, in + HEADER, in + n, 1); break;
        case TEST_SET: take_set(in + HEADER, in + n); break;
        case COMMIT_SET: case UNDO_SET: case PING: break;
        case CLOSE: return 0;
        default: drop(n); continue;
        }
        put_header(RESPONSE, get32(in + 8), get32(in + 12), p);
        send_all(p - out);
        drop(n);
    }
}
