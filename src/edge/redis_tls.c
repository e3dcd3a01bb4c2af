/* hiredis does the reading and writing. What it is to trust is decided here, with an SSL object of
 * our own, since hiredis up to 1.4 never compares the certificate's name with the host's. */
#include "redis_tls.h"

#ifdef HAVE_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/memory.h"

struct redis_tls {
    SSL_CTX *settings;
    char *host;
    bool is_address; /* an IP address, which is no name to ask for (RFC 6066) */
};

struct redis_tls *redis_tls_create(const char *host, struct error *error) {
    struct redis_tls *tls = memory_create(sizeof *tls);
    tls->host = memory_text(host);
    tls->settings = SSL_CTX_new(TLS_client_method());
    if (tls->settings == NULL) memory_none();
    SSL_CTX_set_verify(tls->settings, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM *wanted = SSL_CTX_get0_param(tls->settings);
    tls->is_address = X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1;
    if ((tls->is_address || X509_VERIFY_PARAM_set1_host(wanted, host, 0) == 1) &&
        SSL_CTX_set_min_proto_version(tls->settings, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_default_verify_paths(tls->settings) == 1) {
        return tls;
    }
    error_set(error, "TLS with Redis at %s cannot be set up by this OpenSSL", host);
    redis_tls_destroy(&tls);
    return NULL;
}

void redis_tls_destroy(struct redis_tls **tls) {
    if (*tls == NULL) return;
    SSL_CTX_free((*tls)->settings);
    free((*tls)->host);
    free(*tls);
    *tls = NULL;
}

static void blame_certificate(const struct redis_tls *tls, long verdict, const char *where,
                              struct error *error) {
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        error_set(error,
                  "the certificate of Redis at %s is not for %s: call it in redis.url by a name in "
                  "its certificate, or add this one to the certificate (subjectAltName %s:%s)",
                  where, tls->host, tls->is_address ? "IP" : "DNS", tls->host);
    } else {
        error_set(error,
                  "the certificate of Redis at %s is not trusted (%s): renew it, or name a file "
                  "with its authority in the environment as SSL_CERT_FILE",
                  where, X509_verify_cert_error_string(verdict));
    }
}

bool redis_tls_start(struct redis_tls *tls, redisContext *context, const char *where,
                     bool *is_refused, struct error *error) {
    SSL *ssl = SSL_new(tls->settings);
    if (ssl == NULL || (!tls->is_address && SSL_set_tlsext_host_name(ssl, tls->host) != 1)) {
        SSL_free(ssl);
        return error_set(error, "TLS with Redis at %s cannot be set up", where);
    }
    if (redisInitiateSSL(context, ssl) == REDIS_OK) return true; /* context owns ssl now */
    const long verdict = SSL_get_verify_result(ssl);
    *is_refused = verdict != X509_V_OK;
    if (*is_refused) {
        blame_certificate(tls, verdict, where, error);
    } else {
        error_set(error, "TLS with Redis at %s failed (%s): is this the port for TLS?", where,
                  SSL_want_read(ssl) ? "no answer in time" : context->errstr);
    }
    SSL_free(ssl);
    return false;
}

#else

struct redis_tls *redis_tls_create(const char *host, struct error *error) {
    (void)host;
    error_set(error, "redis.url wants TLS (rediss://), but this build's hiredis has none: build "
                     "with hiredis 1.0 or later (Debian 13), or put stunnel before Redis and use "
                     "redis://");
    return NULL;
}

void redis_tls_destroy(struct redis_tls **tls) {
    (void)tls;
}

bool redis_tls_start(struct redis_tls *tls, redisContext *context, const char *where,
                     bool *is_refused, struct error *error) {
    (void)tls, (void)context, (void)is_refused;
    return error_set(error, "no TLS for %s", where);
}

#endif
