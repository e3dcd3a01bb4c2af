#include "app/version.h"

#include "edge/kafka_names.h"

void version_print(FILE *out) {
    fprintf(out,
            "rollcall %s\n"
            "librdkafka %s\n"
            "jansson %s\n"
            "hiredis %s\n"
            "liburcu %s\n",
            ROLLCALL_VERSION, kafka_names_version(), VERSION_JANSSON, VERSION_HIREDIS,
            VERSION_LIBURCU);
}
