/* What the program's page for people needs. There is no HTTP here (http.listen is empty): none of this is
 * called. And what a simulation can do without. */
#include <urcu-bp.h>
#include <urcu/rculfhash.h>

#include "app/totals.h"
#include "edge/http_server.h"
#include "edge/kafka_conf.h"
#include "edge/redis_snapshot.h"
#include "world.h"

#define NOT_CALLED(name) broken(name " is called, and there is no HTTP")

void totals_render(struct tally *const *tallies, unsigned shard_count,
                   const struct aggregates *aggregates, struct text *json) {
    (void)tallies;
    (void)shard_count;
    (void)aggregates;
    (void)json;
    NOT_CALLED("totals_render");
}

enum store_verdict redis_snapshot_read(struct redis_link *link, const char *prefix,
                                       const struct aggregates *aggregates, struct text *json,
                                       struct error *error) {
    (void)link;
    (void)prefix;
    (void)aggregates;
    (void)json;
    (void)error;
    NOT_CALLED("redis_snapshot_read");
}

struct http_server *http_server_create(const char *listen_on, http_handler *handle, void *context,
                                       struct error *error) {
    (void)listen_on;
    (void)handle;
    (void)context;
    (void)error;
    NOT_CALLED("http_server_create");
}

void http_server_destroy(struct http_server **server) {
    (void)server;
}

uint16_t http_server_port(const struct http_server *server) {
    (void)server;
    return 0;
}

const char *http_request_argument(const struct http_request *request, const char *name) {
    (void)request;
    (void)name;
    return NULL;
}

const char *kafka_conf_get(const struct properties *properties, const char *name) {
    (void)properties;
    return name;
}

const char *kafka_names_version(void) {
    return "none";
}

/* A table that is never resized needs no thread for that, whose start costs more than a schedule. */
struct cds_lfht *__wrap__cds_lfht_new(unsigned long init_size, unsigned long min_size,
                                      unsigned long max_size, int flags,
                                      const struct cds_lfht_mm_type *mm,
                                      const struct rcu_flavor_struct *flavor, pthread_attr_t *attr);
struct cds_lfht *__real__cds_lfht_new(unsigned long init_size, unsigned long min_size,
                                      unsigned long max_size, int flags,
                                      const struct cds_lfht_mm_type *mm,
                                      const struct rcu_flavor_struct *flavor, pthread_attr_t *attr);

struct cds_lfht *__wrap__cds_lfht_new(unsigned long init_size, unsigned long min_size,
                                      unsigned long max_size, int flags,
                                      const struct cds_lfht_mm_type *mm,
                                      const struct rcu_flavor_struct *flavor,
                                      pthread_attr_t *attr) {
    (void)init_size;
    (void)min_size;
    (void)mm;
    return __real__cds_lfht_new(16, 16, max_size, flags & ~CDS_LFHT_AUTO_RESIZE,
                                &cds_lfht_mm_order, flavor, attr);
}
