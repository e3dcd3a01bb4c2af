/* What a simulation can do without. */
#include <urcu-bp.h>
#include <urcu/rculfhash.h>

#include "app/page.h"
#include "app/status.h"
#include "base/memory.h"
#include "edge/kafka_conf.h"
#include "edge/kafka_names.h"

const char *kafka_conf_get(const struct properties *properties, const char *name) {
    (void)properties;
    return name;
}

const char *kafka_names_version(void) {
    return "none";
}

void page_html(const char *json, struct text *html) {
    text_add(html, json);
}

const char *page_style(void) {
    return "";
}

const char *page_script(void) {
    return "";
}

char *status_settings(const struct config *config) {
    (void)config;
    return memory_text("{}");
}

/* A table that is never resized needs no thread for that, whose start costs more than a
 * schedule. */
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
    return __real__cds_lfht_new(16, 16, max_size, flags & ~CDS_LFHT_AUTO_RESIZE, &cds_lfht_mm_order,
                                flavor, attr);
}
