/* A head is parsed only when it is complete: line by line, each ended by a NUL in place of its line
 * break, so all texts are C strings. A NUL or another control character is nowhere allowed. */
#include "edge/http_request.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char token_marks[] = "!#$%&'*+-.^_`|~";

/* The length of a head with its empty line; 0: there is more to come. */
static size_t head_length(const char *bytes, size_t length) {
    const char *end = bytes + length;
    const char *at = bytes;
    while (at < end && (*at == '\r' || *at == '\n')) /* before the first line they are ignored */
        at++;
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        if (next == NULL) return 0;
        if (next == at || (next == at + 1 && *at == '\r')) return (size_t)(next + 1 - bytes);
        at = next + 1;
    }
    return 0;
}

/* Ends the line at *at with a NUL and moves *at behind it. NULL if it has a control character. */
static char *take_line(char **at, const char *end) {
    char *line = *at;
    char *stop = memchr(line, '\n', (size_t)(end - line));
    *at = stop + 1;
    if (stop > line && stop[-1] == '\r') stop--;
    *stop = '\0';
    for (const char *c = line; c < stop; c++) {
        if ((unsigned char)*c < ' ' && *c != '\t') return NULL;
    }
    return line;
}

static bool is_token(const char *text) {
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr(token_marks, *text) == NULL) return false;
    }
    return true;
}

/* Decodes %XX and '+' in place; false where that gives a NUL. */
static bool decode(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++, to++) {
        *to = *from == '+' ? ' ' : *from;
        if (*from != '%' || !isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2]))
            continue;
        *to = (char)strtol((const char[]){from[1], from[2], '\0'}, NULL, 16);
        if (*to == '\0') return false;
        from += 2;
    }
    *to = '\0';
    return true;
}

static bool take_arguments(struct http_request *request, char *query) {
    for (char *argument; (argument = strsep(&query, "&")) != NULL;) {
        if (*argument == '\0') continue;
        if (request->argument_count == HTTP_ARGUMENTS_MAX) return false;
        char *value = argument + strcspn(argument, "=");
        if (*value != '\0') *value++ = '\0';
        if (!decode(argument) || !decode(value)) return false;
        request->arguments[request->argument_count++] = (struct http_field){argument, value};
    }
    return true;
}

/* http://HOST/PATH, as proxies send it, or /PATH. */
static bool take_target(struct http_request *request, char *target) {
    if (strncasecmp(target, "http://", 7) == 0) {
        char *host = target + 7;
        char *path = host + strcspn(host, "/?");
        if (*path != '/') return false;
        memmove(target, host, (size_t)(path - host)); /* a NUL needs a place before the path */
        target[path - host] = '\0';
        request->host = target;
        target = path;
    }
    if (*target != '/') return false;
    request->path = target;
    char *query = strchr(target, '?');
    if (query == NULL) return true;
    *query++ = '\0';
    return take_arguments(request, query);
}

/* Returns a status. */
static unsigned take_first_line(struct http_request *request, char *line) {
    char *method = line == NULL ? NULL : strsep(&line, " ");
    char *target = line == NULL ? NULL : strsep(&line, " ");
    if (target == NULL || line == NULL || !is_token(method)) return 400;
    if (strlen(line) != 8 || strncmp(line, "HTTP/", 5) != 0 || !isdigit((unsigned char)line[5]) ||
        line[6] != '.' || !isdigit((unsigned char)line[7])) {
        return 400;
    }
    if (line[5] != '1') return 505;
    request->is_1_0 = line[7] == '0';
    request->is_head = strcmp(method, "HEAD") == 0;
    if (!request->is_head && strcmp(method, "GET") != 0) return 405;
    return take_target(request, target) ? 200 : 400;
}

static unsigned take_field(struct http_request *request, char *line) {
    char *colon = line == NULL ? NULL : strchr(line, ':');
    if (colon == NULL) return 400;
    *colon = '\0';
    if (!is_token(line)) return 400; /* also a line that continues the one before */
    if (request->field_count == HTTP_FIELDS_MAX) return 431;
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t length = strlen(value); length > 0 && strchr(" \t", value[length - 1]) != NULL;)
        value[--length] = '\0';
    request->fields[request->field_count++] = (struct http_field){line, value};
    return 200;
}

static bool has_word(const char *list, const char *word) {
    const size_t length = strlen(word);
    while (*list != '\0') {
        list += strspn(list, " \t,");
        const size_t here = strcspn(list, " \t,");
        if (here == length && strncasecmp(list, word, length) == 0) return true;
        list += here;
    }
    return false;
}

/* What all fields together say. */
static unsigned judge(struct http_request *request) {
    unsigned host_count = 0;
    request->keeps_alive = !request->is_1_0;
    for (unsigned i = 0; i < request->field_count; i++) {
        const struct http_field *field = &request->fields[i];
        if (strcasecmp(field->name, "host") == 0) {
            host_count++;
            if (request->host == NULL) request->host = field->value;
        } else if (strcasecmp(field->name, "connection") == 0) {
            if (has_word(field->value, "close")) request->keeps_alive = false;
        } else if (strcasecmp(field->name, "transfer-encoding") == 0 ||
                   (strcasecmp(field->name, "content-length") == 0 &&
                    strcmp(field->value, "0") != 0)) {
            return 400; /* a body: nobody here wants one */
        }
    }
    return host_count > 1 || (host_count == 0 && !request->is_1_0) ? 400 : 200;
}

size_t http_request_parse(char *bytes, size_t length, struct http_request *request,
                          unsigned *status) {
    const size_t head = head_length(bytes, length);
    if (head == 0) return 0;
    *request = (struct http_request){0};
    char *at = bytes;
    const char *end = bytes + head;
    while (*at == '\r' || *at == '\n')
        at++;
    *status = take_first_line(request, take_line(&at, end));
    while (*status == 200 && at < end) {
        char *line = take_line(&at, end);
        if (line != NULL && *line == '\0') break;
        *status = take_field(request, line);
    }
    if (*status == 200) *status = judge(request);
    return head;
}

const char *http_request_argument(const struct http_request *request, const char *name) {
    for (unsigned i = 0; i < request->argument_count; i++) {
        if (strcmp(request->arguments[i].name, name) == 0) return request->arguments[i].value;
    }
    return NULL;
}

const char *http_request_field(const struct http_request *request, const char *name) {
    for (unsigned i = 0; i < request->field_count; i++) {
        if (strcasecmp(request->fields[i].name, name) == 0) return request->fields[i].value;
    }
    return NULL;
}
