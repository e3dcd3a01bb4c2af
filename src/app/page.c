/* The document is our own, so it is well-formed: it is walked without being parsed to a tree. Where
 * it is not, the walk ends at the NUL behind it. */
#include "app/page.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "page_assets.h" /* made from src/app/page */

enum { DEPTH_MAX = 8 };

static const char marker[] = "<!--tables-->";

static const char *skip_space(const char *at) {
    return at + strspn(at, " \n\r\t,:");
}

/* Adds the character behind a backslash; returns where it ends. */
static const char *add_escape(const char *at, struct text *html) {
    if (*at == 'u') { /* only control characters are written so */
        const size_t digits = strspn(at + 1, "0123456789abcdefABCDEF");
        text_add(html, "\xEF\xBF\xBD");
        return at + 1 + (digits < 4 ? digits : 4);
    }
    switch (*at) {
    case '\0':
        return at;
    case '"':
        text_add(html, "&quot;");
        break;
    case 'n':
    case 'r':
    case 't':
        text_add(html, " ");
        break;
    default:
        text_add_bytes(html, at, 1);
    }
    return at + 1;
}

/* Adds the text of a string, behind its first quote; returns where it ends. */
static const char *add_string(const char *at, struct text *html) {
    while (*at != '"' && *at != '\0') {
        if (*at == '\\') {
            at = add_escape(at + 1, html);
            continue;
        }
        if (*at == '<')
            text_add(html, "&lt;");
        else if (*at == '&')
            text_add(html, "&amp;");
        else
            text_add_bytes(html, at, 1);
        at++;
    }
    return at + (*at == '"');
}

static const char *add_value(const char *at, unsigned depth, struct text *html);

/* A row for each member. */
static const char *add_object(const char *at, unsigned depth, struct text *html) {
    text_add(html, "<table>");
    while (*(at = skip_space(at)) == '"') {
        text_add(html, "<tr><th scope=\"row\">");
        at = skip_space(add_string(at + 1, html));
        text_add(html, "</th><td>");
        at = add_value(at, depth + 1, html);
        text_add(html, "</td></tr>");
    }
    text_add(html, "</table>\n");
    return at + (*at == '}');
}

/* The members' names, as a row of headings. */
static void add_names(const char *at, struct text *html) {
    struct text rest = {0};
    text_add(html, "<tr>");
    while (*(at = skip_space(at)) == '"') {
        text_add(html, "<th scope=\"col\">");
        at = skip_space(add_string(at + 1, html));
        text_add(html, "</th>");
        at = add_value(at, 1, &rest);
        text_clear(&rest);
    }
    text_add(html, "</tr>\n");
    text_release(&rest);
}

/* The values of an object's members, or an array's elements, as a row; behind the bracket. */
static const char *add_row(const char *at, unsigned depth, bool is_object, struct text *html) {
    struct text name = {0};
    text_add(html, "<tr>");
    while (*(at = skip_space(at)) != (is_object ? '}' : ']') && *at != '\0') {
        if (is_object) at = skip_space(add_string(at + 1, &name));
        text_add(html, "<td>");
        at = add_value(at, depth + 1, html);
        text_add(html, "</td>");
    }
    text_add(html, "</tr>\n");
    text_release(&name);
    return at + (*at != '\0');
}

/* One element of an array: a row if it has parts, else an item. */
static const char *add_element(const char *at, unsigned depth, struct text *html) {
    if (*at == '{' || *at == '[') return add_row(at + 1, depth, *at == '{', html);
    text_add(html, "<li>");
    at = add_value(at, depth, html);
    text_add(html, "</li>\n");
    return at;
}

/* A row or item for each element; those beyond PAGE_ROWS_MAX are counted. */
static const char *add_array(const char *at, unsigned depth, struct text *html) {
    struct text rest = {0};
    unsigned count = 0;
    at = skip_space(at);
    const char *list = *at == '{' || *at == '[' ? "table" : "ul";
    text_format(html, "<%s>", list);
    if (*at == '{') add_names(at + 1, html);
    while (*(at = skip_space(at)) != ']' && *at != '\0') {
        at = add_element(at, depth + 1, count++ < PAGE_ROWS_MAX ? html : &rest);
        text_clear(&rest);
    }
    text_format(html, "</%s>\n", list);
    if (count > PAGE_ROWS_MAX)
        text_format(html, "<p>and %u more, in status.json</p>", count - PAGE_ROWS_MAX);
    text_release(&rest);
    return at + (*at == ']');
}

static const char *add_value(const char *at, unsigned depth, struct text *html) {
    if (depth > DEPTH_MAX) return at + strlen(at);
    if (*at == '{') return add_object(at + 1, depth, html);
    if (*at == '[') return add_array(at + 1, depth, html);
    if (*at == '"') return add_string(at + 1, html);
    const size_t length = strcspn(at, ",]}\n ");
    text_add_bytes(html, at, length);
    return at + (length == 0 && *at != '\0' ? 1 : length);
}

void page_tables(const char *json, struct text *html) {
    add_value(skip_space(json), 0, html);
}

void page_html(const char *json, struct text *html) {
    const char *tables = strstr(page_index, marker);
    text_add_bytes(html, page_index, (size_t)(tables - page_index));
    page_tables(json, html);
    text_add(html, tables + sizeof marker - 1);
}

const char *page_style(void) {
    return page_css;
}

const char *page_script(void) {
    return page_js;
}
