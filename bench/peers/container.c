/* A subagent on libnetsnmpagent with its table_container helper: what one would
 * write in C. One container holds the rows of both tables. A SET of the scalar
 * `trigger` makes it send so many notifications, of one row after another.
 * usage: container SOCKET ROWS */
#include "table.h"
#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>
#include <net-snmp/agent/net-snmp-agent-includes.h>
#include <signal.h>

struct server {
    netsnmp_index index; /* first: the container sorts by it */
    uint8_t address[4];
    uint8_t last_change[11];
    long forwarding, weight, old_weight, oper_weight, oper_status, active;
    uint64_t connections, in_bytes, out_bytes;
    oid oids[];
};

enum { ADDRESS = 3, FORWARDING = 6, WEIGHT = 7, OPER_WEIGHT = 9, OPER_STATUS = 21, LAST_CHANGE = 23 };
enum { CONNECTIONS = 1, IN_BYTES = 4, OUT_BYTES = 5, ACTIVE = 11 };
enum { MAX_WEIGHT = 65535 };

static void counter64(netsnmp_variable_list *vb, uint64_t v)
{
    struct counter64 c = { .high = v >> 32, .low = v & 0xffffffff };
    snmp_set_var_typed_value(vb, ASN_COUNTER64, &c, sizeof c);
}

static void get_server(netsnmp_variable_list *vb, const struct server *s, unsigned column)
{
    switch (column) {
    case ADDRESS: snmp_set_var_typed_value(vb, ASN_OCTET_STR, s->address, sizeof s->address); break;
    case FORWARDING: snmp_set_var_typed_integer(vb, ASN_INTEGER, s->forwarding); break;
    case WEIGHT: snmp_set_var_typed_integer(vb, ASN_UNSIGNED, s->weight); break;
    case OPER_WEIGHT: snmp_set_var_typed_integer(vb, ASN_GAUGE, s->oper_weight); break;
    case OPER_STATUS: snmp_set_var_typed_integer(vb, ASN_INTEGER, s->oper_status); break;
    case LAST_CHANGE: snmp_set_var_typed_value(vb, ASN_OCTET_STR, s->last_change, sizeof s->last_change); break;
    }
}

static void get_stats(netsnmp_variable_list *vb, const struct server *s, unsigned column)
{
    switch (column) {
    case CONNECTIONS: counter64(vb, s->connections); break;
    case IN_BYTES: counter64(vb, s->in_bytes); break;
    case OUT_BYTES: counter64(vb, s->out_bytes); break;
    case ACTIVE: snmp_set_var_typed_integer(vb, ASN_GAUGE, s->active); break;
    }
}

static void set_weight(netsnmp_agent_request_info *info, netsnmp_request_info *r, struct server *s, unsigned column)
{
    switch (info->mode) {
    case MODE_SET_RESERVE1:
        if (!s)
            netsnmp_set_request_error(info, r, SNMP_ERR_NOCREATION);
        else if (column != WEIGHT)
            netsnmp_set_request_error(info, r, SNMP_ERR_NOTWRITABLE);
        else if (r->requestvb->type != ASN_UNSIGNED)
            netsnmp_set_request_error(info, r, SNMP_ERR_WRONGTYPE);
        else if ((unsigned long)*r->requestvb->val.integer > MAX_WEIGHT)
            netsnmp_set_request_error(info, r, SNMP_ERR_WRONGVALUE);
        break;
    case MODE_SET_ACTION:
        s->old_weight = s->weight;
        s->weight = s->oper_weight = *r->requestvb->val.integer;
        put_time(s->last_change);
        break;
    case MODE_SET_UNDO:
        s->weight = s->oper_weight = s->old_weight;
        break;
    }
}

static int handle(netsnmp_agent_request_info *info, netsnmp_request_info *r,
                  void (*get)(netsnmp_variable_list *, const struct server *, unsigned), int writable)
{
    for (; r; r = r->next) {
        struct server *s = netsnmp_container_table_row_extract(r);
        netsnmp_table_request_info *t = netsnmp_extract_table_info(r);
        if (r->processed)
            continue;
        if (info->mode == MODE_GET) {
            if (s && t)
                get(r->requestvb, s, t->colnum);
            else
                netsnmp_set_request_error(info, r, SNMP_NOSUCHINSTANCE);
        } else if (writable)
            set_weight(info, r, s, t->colnum);
    }
    return SNMP_ERR_NOERROR;
}

static int handle_server(netsnmp_mib_handler *h, netsnmp_handler_registration *reg,
                         netsnmp_agent_request_info *info, netsnmp_request_info *r)
{
    return handle(info, r, get_server, 1);
}

static int handle_stats(netsnmp_mib_handler *h, netsnmp_handler_registration *reg,
                        netsnmp_agent_request_info *info, netsnmp_request_info *r)
{
    return handle(info, r, get_stats, 0);
}

static size_t put_key(oid *o, const char *text)
{
    size_t i, n = strlen(text);
    o[0] = n;
    for (i = 0; i < n; i++)
        o[1 + i] = (unsigned char)text[i];
    return 1 + n;
}

static netsnmp_container *load(const char *path)
{
    netsnmp_container *rows = netsnmp_container_find("lcmsServerTable:table_container");
    FILE *f = open_rows(path);
    struct line l;
    while (next_line(f, &l)) {
        oid index[MAX_INDEX];
        size_t n = put_key(index, l.service.text);
        n += put_key(index + n, l.server.text);
        struct server *s = calloc(1, sizeof *s + n * sizeof *index);
        memcpy(s->oids, index, n * sizeof *index);
        s->index.oids = s->oids;
        s->index.len = n;
        memcpy(s->address, l.address, sizeof s->address);
        put_time(s->last_change);
        s->forwarding = s->oper_status = 1;
        s->weight = s->oper_weight = l.weight;
        CONTAINER_INSERT(rows, s);
    }
    fclose(f);
    return rows;
}

/* serve registers a table with the columns that it has. */
static void serve(const char *name, const oid *at, size_t len, Netsnmp_Node_Handler *handler, int access,
                  netsnmp_container *rows, int *columns, int count)
{
    netsnmp_table_registration_info *t = SNMP_MALLOC_TYPEDEF(netsnmp_table_registration_info);
    netsnmp_column_info *valid = SNMP_MALLOC_TYPEDEF(netsnmp_column_info);
    int i;
    netsnmp_table_helper_add_indexes(t, ASN_OCTET_STR, ASN_OCTET_STR, 0);
    t->min_column = columns[0];
    t->max_column = columns[count - 1];
    valid->isRange = 0;
    valid->list_count = count;
    valid->details.list = calloc(count, sizeof *valid->details.list);
    for (i = 0; i < count; i++)
        valid->details.list[i] = columns[i];
    t->valid_columns = valid;
    if (netsnmp_container_table_register(netsnmp_create_handler_registration(name, handler, at, len, access),
                                         t, rows, TABLE_CONTAINER_KEY_NETSNMP_INDEX) != SNMPERR_SUCCESS) {
        fprintf(stderr, "cannot register %s\n", name);
        exit(1);
    }
}

static int pending; /* notifications to be sent */

static int handle_trigger(netsnmp_mib_handler *h, netsnmp_handler_registration *reg,
                          netsnmp_agent_request_info *info, netsnmp_request_info *r)
{
    switch (info->mode) {
    case MODE_GET:
        snmp_set_var_typed_integer(r->requestvb, ASN_INTEGER, pending);
        break;
    case MODE_SET_RESERVE1:
        if (r->requestvb->type != ASN_INTEGER)
            netsnmp_set_request_error(info, r, SNMP_ERR_WRONGTYPE);
        break;
    case MODE_SET_COMMIT:
        pending += *r->requestvb->val.integer;
        break;
    }
    return SNMP_ERR_NOERROR;
}

static const oid lcms[] = { 1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 5267 };

/* add appends a varbind whose name is lcmsMIB, a group or column, and an index. */
static void add(netsnmp_variable_list **vbs, const oid *group, size_t n, const oid *index, size_t len,
                u_char type, const void *value, size_t size)
{
    oid name[MAX_OID_LEN];
    memcpy(name, lcms, sizeof lcms);
    memcpy(name + OID_LENGTH(lcms), group, n * sizeof *name);
    memcpy(name + OID_LENGTH(lcms) + n, index, len * sizeof *name);
    snmp_varlist_add_variable(vbs, name, OID_LENGTH(lcms) + n + len, type, value, size);
}

/* notify sends lcmsServerStateChange of a row, with the objects that
 * lcms-subagent gives it. */
static void notify(const struct server *s)
{
    static const oid trap_oid[] = { 1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0 };
    static const oid state_change[] = { 1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 5267, 0, 1 };
    static const oid scalar[] = { 0 };
    static u_long sequence;
    static const char text[] = "AdminStatus is down";
    netsnmp_variable_list *vbs = NULL;
    uint8_t now[11];
    sequence++;
    put_time(now);
    snmp_varlist_add_variable(&vbs, trap_oid, OID_LENGTH(trap_oid), ASN_OBJECT_ID, state_change, sizeof state_change);
    add(&vbs, (oid[]){ 1, 12, 1 }, 3, scalar, 1, ASN_UNSIGNED, &sequence, sizeof sequence);
    add(&vbs, (oid[]){ 1, 12, 2 }, 3, scalar, 1, ASN_OCTET_STR, now, sizeof now);
    add(&vbs, (oid[]){ 1, 12, 3 }, 3, scalar, 1, ASN_OCTET_STR, text, sizeof text - 1);
    add(&vbs, (oid[]){ 1, 5, 1, 1, OPER_STATUS }, 5, s->index.oids, s->index.len, ASN_INTEGER, &s->oper_status, sizeof s->oper_status);
    add(&vbs, (oid[]){ 1, 5, 1, 1, OPER_WEIGHT }, 5, s->index.oids, s->index.len, ASN_GAUGE, &s->oper_weight, sizeof s->oper_weight);
    send_v2trap(vbs);
    snmp_free_varbind(vbs);
}

static volatile sig_atomic_t stop;
static void on_signal(int s) { stop = 1; }

int main(int argc, char **argv)
{
    static const oid server_table[] = { 1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 5267, 1, 5, 1 };
    static const oid stats_table[] = { 1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 5267, 1, 5, 2 };
    static const oid trigger[] = { 1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 5268, 1 };
    int server_columns[] = { ADDRESS, FORWARDING, WEIGHT, OPER_WEIGHT, OPER_STATUS, LAST_CHANGE };
    int stats_columns[] = { CONNECTIONS, IN_BYTES, OUT_BYTES, ACTIVE };
    netsnmp_container *rows;
    if (argc != 3) {
        fprintf(stderr, "usage: container SOCKET ROWS\n");
        return 2;
    }
    snmp_enable_stderrlog();
    netsnmp_ds_set_boolean(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_ROLE, 1);
    netsnmp_ds_set_string(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_X_SOCKET, argv[1]);
    netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DONT_READ_CONFIGS, 1);
    init_agent("container");
    rows = load(argv[2]);
    serve("lcmsServerTable", server_table, OID_LENGTH(server_table), handle_server, HANDLER_CAN_RWRITE,
          rows, server_columns, sizeof server_columns / sizeof *server_columns);
    serve("lcmsServerStatsTable", stats_table, OID_LENGTH(stats_table), handle_stats, HANDLER_CAN_RONLY,
          rows, stats_columns, sizeof stats_columns / sizeof *stats_columns);
    netsnmp_register_scalar(netsnmp_create_handler_registration("trigger", handle_trigger, trigger, OID_LENGTH(trigger), HANDLER_CAN_RWRITE));
    init_snmp("container");
    signal(SIGTERM, on_signal);
    /* One notification, and then what comes, which is the answer to it: sent
     * without a pause snmpd loses and repeats some. */
    const struct server *next = NULL;
    while (!stop) {
        if (pending > 0) {
            next = next ? CONTAINER_NEXT(rows, next) : NULL;
            if (!next)
                next = CONTAINER_FIRST(rows);
            notify(next);
            pending--;
        }
        agent_check_and_process(1);
    }
    return 0;
}
