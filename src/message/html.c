/*
 * HTML to text: one pass, no tree. What is left open (a comment, a script) hides the rest of the
 * document, as in a browser; an open quote does not, since mail is often cut.
 */
#include "message/html.h"

#include "base/ascii.h"
#include "message/charset_tables.h"

#include <stdlib.h>
#include <string.h>

struct reference {
    struct str name;
    uint32_t code;
};

/* HTML 4's character references, and in capitals those that HTML 5 has so; in the order of bytes.
 */
static const struct reference references[] = {
    {STR_INIT("AElig"), 0xc6},    {STR_INIT("AMP"), 0x26},       {STR_INIT("Aacute"), 0xc1},
    {STR_INIT("Acirc"), 0xc2},    {STR_INIT("Agrave"), 0xc0},    {STR_INIT("Alpha"), 0x391},
    {STR_INIT("Aring"), 0xc5},    {STR_INIT("Atilde"), 0xc3},    {STR_INIT("Auml"), 0xc4},
    {STR_INIT("Beta"), 0x392},    {STR_INIT("COPY"), 0xa9},      {STR_INIT("Ccedil"), 0xc7},
    {STR_INIT("Chi"), 0x3a7},     {STR_INIT("Dagger"), 0x2021},  {STR_INIT("Delta"), 0x394},
    {STR_INIT("ETH"), 0xd0},      {STR_INIT("Eacute"), 0xc9},    {STR_INIT("Ecirc"), 0xca},
    {STR_INIT("Egrave"), 0xc8},   {STR_INIT("Epsilon"), 0x395},  {STR_INIT("Eta"), 0x397},
    {STR_INIT("Euml"), 0xcb},     {STR_INIT("GT"), 0x3e},        {STR_INIT("Gamma"), 0x393},
    {STR_INIT("Iacute"), 0xcd},   {STR_INIT("Icirc"), 0xce},     {STR_INIT("Igrave"), 0xcc},
    {STR_INIT("Iota"), 0x399},    {STR_INIT("Iuml"), 0xcf},      {STR_INIT("Kappa"), 0x39a},
    {STR_INIT("LT"), 0x3c},       {STR_INIT("Lambda"), 0x39b},   {STR_INIT("Mu"), 0x39c},
    {STR_INIT("Ntilde"), 0xd1},   {STR_INIT("Nu"), 0x39d},       {STR_INIT("OElig"), 0x152},
    {STR_INIT("Oacute"), 0xd3},   {STR_INIT("Ocirc"), 0xd4},     {STR_INIT("Ograve"), 0xd2},
    {STR_INIT("Omega"), 0x3a9},   {STR_INIT("Omicron"), 0x39f},  {STR_INIT("Oslash"), 0xd8},
    {STR_INIT("Otilde"), 0xd5},   {STR_INIT("Ouml"), 0xd6},      {STR_INIT("Phi"), 0x3a6},
    {STR_INIT("Pi"), 0x3a0},      {STR_INIT("Prime"), 0x2033},   {STR_INIT("Psi"), 0x3a8},
    {STR_INIT("QUOT"), 0x22},     {STR_INIT("REG"), 0xae},       {STR_INIT("Rho"), 0x3a1},
    {STR_INIT("Scaron"), 0x160},  {STR_INIT("Sigma"), 0x3a3},    {STR_INIT("THORN"), 0xde},
    {STR_INIT("Tau"), 0x3a4},     {STR_INIT("Theta"), 0x398},    {STR_INIT("Uacute"), 0xda},
    {STR_INIT("Ucirc"), 0xdb},    {STR_INIT("Ugrave"), 0xd9},    {STR_INIT("Upsilon"), 0x3a5},
    {STR_INIT("Uuml"), 0xdc},     {STR_INIT("Xi"), 0x39e},       {STR_INIT("Yacute"), 0xdd},
    {STR_INIT("Yuml"), 0x178},    {STR_INIT("Zeta"), 0x396},     {STR_INIT("aacute"), 0xe1},
    {STR_INIT("acirc"), 0xe2},    {STR_INIT("acute"), 0xb4},     {STR_INIT("aelig"), 0xe6},
    {STR_INIT("agrave"), 0xe0},   {STR_INIT("alefsym"), 0x2135}, {STR_INIT("alpha"), 0x3b1},
    {STR_INIT("amp"), 0x26},      {STR_INIT("and"), 0x2227},     {STR_INIT("ang"), 0x2220},
    {STR_INIT("apos"), 0x27},     {STR_INIT("aring"), 0xe5},     {STR_INIT("asymp"), 0x2248},
    {STR_INIT("atilde"), 0xe3},   {STR_INIT("auml"), 0xe4},      {STR_INIT("bdquo"), 0x201e},
    {STR_INIT("beta"), 0x3b2},    {STR_INIT("brvbar"), 0xa6},    {STR_INIT("bull"), 0x2022},
    {STR_INIT("cap"), 0x2229},    {STR_INIT("ccedil"), 0xe7},    {STR_INIT("cedil"), 0xb8},
    {STR_INIT("cent"), 0xa2},     {STR_INIT("chi"), 0x3c7},      {STR_INIT("circ"), 0x2c6},
    {STR_INIT("clubs"), 0x2663},  {STR_INIT("cong"), 0x2245},    {STR_INIT("copy"), 0xa9},
    {STR_INIT("crarr"), 0x21b5},  {STR_INIT("cup"), 0x222a},     {STR_INIT("curren"), 0xa4},
    {STR_INIT("dArr"), 0x21d3},   {STR_INIT("dagger"), 0x2020},  {STR_INIT("darr"), 0x2193},
    {STR_INIT("deg"), 0xb0},      {STR_INIT("delta"), 0x3b4},    {STR_INIT("diams"), 0x2666},
    {STR_INIT("divide"), 0xf7},   {STR_INIT("eacute"), 0xe9},    {STR_INIT("ecirc"), 0xea},
    {STR_INIT("egrave"), 0xe8},   {STR_INIT("empty"), 0x2205},   {STR_INIT("emsp"), 0x2003},
    {STR_INIT("ensp"), 0x2002},   {STR_INIT("epsilon"), 0x3b5},  {STR_INIT("equiv"), 0x2261},
    {STR_INIT("eta"), 0x3b7},     {STR_INIT("eth"), 0xf0},       {STR_INIT("euml"), 0xeb},
    {STR_INIT("euro"), 0x20ac},   {STR_INIT("exist"), 0x2203},   {STR_INIT("fnof"), 0x192},
    {STR_INIT("forall"), 0x2200}, {STR_INIT("frac12"), 0xbd},    {STR_INIT("frac14"), 0xbc},
    {STR_INIT("frac34"), 0xbe},   {STR_INIT("frasl"), 0x2044},   {STR_INIT("gamma"), 0x3b3},
    {STR_INIT("ge"), 0x2265},     {STR_INIT("gt"), 0x3e},        {STR_INIT("hArr"), 0x21d4},
    {STR_INIT("harr"), 0x2194},   {STR_INIT("hearts"), 0x2665},  {STR_INIT("hellip"), 0x2026},
    {STR_INIT("iacute"), 0xed},   {STR_INIT("icirc"), 0xee},     {STR_INIT("iexcl"), 0xa1},
    {STR_INIT("igrave"), 0xec},   {STR_INIT("image"), 0x2111},   {STR_INIT("infin"), 0x221e},
    {STR_INIT("int"), 0x222b},    {STR_INIT("iota"), 0x3b9},     {STR_INIT("iquest"), 0xbf},
    {STR_INIT("isin"), 0x2208},   {STR_INIT("iuml"), 0xef},      {STR_INIT("kappa"), 0x3ba},
    {STR_INIT("lArr"), 0x21d0},   {STR_INIT("lambda"), 0x3bb},   {STR_INIT("lang"), 0x2329},
    {STR_INIT("laquo"), 0xab},    {STR_INIT("larr"), 0x2190},    {STR_INIT("lceil"), 0x2308},
    {STR_INIT("ldquo"), 0x201c},  {STR_INIT("le"), 0x2264},      {STR_INIT("lfloor"), 0x230a},
    {STR_INIT("lowast"), 0x2217}, {STR_INIT("loz"), 0x25ca},     {STR_INIT("lrm"), 0x200e},
    {STR_INIT("lsaquo"), 0x2039}, {STR_INIT("lsquo"), 0x2018},   {STR_INIT("lt"), 0x3c},
    {STR_INIT("macr"), 0xaf},     {STR_INIT("mdash"), 0x2014},   {STR_INIT("micro"), 0xb5},
    {STR_INIT("middot"), 0xb7},   {STR_INIT("minus"), 0x2212},   {STR_INIT("mu"), 0x3bc},
    {STR_INIT("nabla"), 0x2207},  {STR_INIT("nbsp"), 0xa0},      {STR_INIT("ndash"), 0x2013},
    {STR_INIT("ne"), 0x2260},     {STR_INIT("ni"), 0x220b},      {STR_INIT("not"), 0xac},
    {STR_INIT("notin"), 0x2209},  {STR_INIT("nsub"), 0x2284},    {STR_INIT("ntilde"), 0xf1},
    {STR_INIT("nu"), 0x3bd},      {STR_INIT("oacute"), 0xf3},    {STR_INIT("ocirc"), 0xf4},
    {STR_INIT("oelig"), 0x153},   {STR_INIT("ograve"), 0xf2},    {STR_INIT("oline"), 0x203e},
    {STR_INIT("omega"), 0x3c9},   {STR_INIT("omicron"), 0x3bf},  {STR_INIT("oplus"), 0x2295},
    {STR_INIT("or"), 0x2228},     {STR_INIT("ordf"), 0xaa},      {STR_INIT("ordm"), 0xba},
    {STR_INIT("oslash"), 0xf8},   {STR_INIT("otilde"), 0xf5},    {STR_INIT("otimes"), 0x2297},
    {STR_INIT("ouml"), 0xf6},     {STR_INIT("para"), 0xb6},      {STR_INIT("part"), 0x2202},
    {STR_INIT("permil"), 0x2030}, {STR_INIT("perp"), 0x22a5},    {STR_INIT("phi"), 0x3c6},
    {STR_INIT("pi"), 0x3c0},      {STR_INIT("piv"), 0x3d6},      {STR_INIT("plusmn"), 0xb1},
    {STR_INIT("pound"), 0xa3},    {STR_INIT("prime"), 0x2032},   {STR_INIT("prod"), 0x220f},
    {STR_INIT("prop"), 0x221d},   {STR_INIT("psi"), 0x3c8},      {STR_INIT("quot"), 0x22},
    {STR_INIT("rArr"), 0x21d2},   {STR_INIT("radic"), 0x221a},   {STR_INIT("rang"), 0x232a},
    {STR_INIT("raquo"), 0xbb},    {STR_INIT("rarr"), 0x2192},    {STR_INIT("rceil"), 0x2309},
    {STR_INIT("rdquo"), 0x201d},  {STR_INIT("real"), 0x211c},    {STR_INIT("reg"), 0xae},
    {STR_INIT("rfloor"), 0x230b}, {STR_INIT("rho"), 0x3c1},      {STR_INIT("rlm"), 0x200f},
    {STR_INIT("rsaquo"), 0x203a}, {STR_INIT("rsquo"), 0x2019},   {STR_INIT("sbquo"), 0x201a},
    {STR_INIT("scaron"), 0x161},  {STR_INIT("sdot"), 0x22c5},    {STR_INIT("sect"), 0xa7},
    {STR_INIT("shy"), 0xad},      {STR_INIT("sigma"), 0x3c3},    {STR_INIT("sigmaf"), 0x3c2},
    {STR_INIT("sim"), 0x223c},    {STR_INIT("spades"), 0x2660},  {STR_INIT("sub"), 0x2282},
    {STR_INIT("sube"), 0x2286},   {STR_INIT("sum"), 0x2211},     {STR_INIT("sup"), 0x2283},
    {STR_INIT("sup1"), 0xb9},     {STR_INIT("sup2"), 0xb2},      {STR_INIT("sup3"), 0xb3},
    {STR_INIT("supe"), 0x2287},   {STR_INIT("szlig"), 0xdf},     {STR_INIT("tau"), 0x3c4},
    {STR_INIT("there4"), 0x2234}, {STR_INIT("theta"), 0x3b8},    {STR_INIT("thetasym"), 0x3d1},
    {STR_INIT("thinsp"), 0x2009}, {STR_INIT("thorn"), 0xfe},     {STR_INIT("tilde"), 0x2dc},
    {STR_INIT("times"), 0xd7},    {STR_INIT("trade"), 0x2122},   {STR_INIT("uArr"), 0x21d1},
    {STR_INIT("uacute"), 0xfa},   {STR_INIT("uarr"), 0x2191},    {STR_INIT("ucirc"), 0xfb},
    {STR_INIT("ugrave"), 0xf9},   {STR_INIT("uml"), 0xa8},       {STR_INIT("upsih"), 0x3d2},
    {STR_INIT("upsilon"), 0x3c5}, {STR_INIT("uuml"), 0xfc},      {STR_INIT("weierp"), 0x2118},
    {STR_INIT("xi"), 0x3be},      {STR_INIT("yacute"), 0xfd},    {STR_INIT("yen"), 0xa5},
    {STR_INIT("yuml"), 0xff},     {STR_INIT("zeta"), 0x3b6},     {STR_INIT("zwj"), 0x200d},
    {STR_INIT("zwnj"), 0x200c},
};

/* Elements that do not end a word. */
static const struct str inline_tags[] = {
    STR_INIT("a"),      STR_INIT("abbr"),   STR_INIT("acronym"), STR_INIT("b"),
    STR_INIT("bdi"),    STR_INIT("bdo"),    STR_INIT("big"),     STR_INIT("cite"),
    STR_INIT("code"),   STR_INIT("del"),    STR_INIT("dfn"),     STR_INIT("em"),
    STR_INIT("font"),   STR_INIT("i"),      STR_INIT("ins"),     STR_INIT("kbd"),
    STR_INIT("label"),  STR_INIT("mark"),   STR_INIT("nobr"),    STR_INIT("q"),
    STR_INIT("s"),      STR_INIT("samp"),   STR_INIT("small"),   STR_INIT("span"),
    STR_INIT("strike"), STR_INIT("strong"), STR_INIT("sub"),     STR_INIT("sup"),
    STR_INIT("tt"),     STR_INIT("u"),      STR_INIT("var"),     STR_INIT("wbr"),
};

/* U+00A0 and U+00AD as UTF-8, of which the first byte is one. */
static const char NO_BREAK_SPACE[] = "\xc2\xa0"; /* white space, as that of ASCII */
static const char SOFT_HYPHEN[] = "\xc2\xad";    /* inside a word, which it does not part */

enum { REFERENCE_MAX = 10, LATIN_REFERENCE_MAX = 6, TAG_NAME_MAX = 12 };

static void put(struct html_reader *r, const char *bytes, size_t len)
{
    if (r->blank != 0 && r->len > 0)
        r->room[r->len++] = r->blank;
    r->blank = 0;
    memcpy(r->room + r->len, bytes, len);
    r->len += len;
}

static void put_code(struct html_reader *r, uint32_t code)
{
    char text[4];

    if (code == 0xa0 || (code < 128 && ascii_is_space((char)code))) {
        if (r->blank == 0)
            r->blank = ' ';
    } else if (code == 0xad || code < 0x20) {
        return;
    } else if (code < 0x80) {
        text[0] = (char)code;
        put(r, text, 1);
    } else if (code < 0x800) {
        text[0] = (char)(0xc0 | (code >> 6));
        text[1] = (char)(0x80 | (code & 0x3f));
        put(r, text, 2);
    } else if (code < 0x10000) {
        if (code >= 0xd800 && code <= 0xdfff)
            return;
        text[0] = (char)(0xe0 | (code >> 12));
        text[1] = (char)(0x80 | ((code >> 6) & 0x3f));
        text[2] = (char)(0x80 | (code & 0x3f));
        put(r, text, 3);
    } else if (code <= 0x10ffff) {
        text[0] = (char)(0xf0 | (code >> 18));
        text[1] = (char)(0x80 | ((code >> 12) & 0x3f));
        text[2] = (char)(0x80 | ((code >> 6) & 0x3f));
        text[3] = (char)(0x80 | (code & 0x3f));
        put(r, text, 4);
    }
}

static int compare_reference(const void *key, const void *row)
{
    return str_compare(*(const struct str *)key, ((const struct reference *)row)->name);
}

static int digit_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/*
 * "#228" or "#xe4" at the beginning of the text; gives how long it is, 0: there is none. Numbers of
 * controls are windows-1252's characters, as browsers have it (HTML, numeric character references).
 */
static size_t read_number(struct str text, uint32_t *out_code)
{
    bool is_hex = text.len > 1 && ascii_lower(text.ptr[1]) == 'x';
    size_t start = is_hex ? 2 : 1, i = start;
    int base = is_hex ? 16 : 10;
    uint32_t code = 0;

    for (; i < text.len && digit_value(text.ptr[i]) < base; i++) {
        if (code > 0x10ffff)
            return 0;
        code = code * (uint32_t)base + (uint32_t)digit_value(text.ptr[i]);
    }
    if (i == start)
        return 0;
    if (code >= 0x80 && code < 0xa0)
        code = charset_table(STR("windows-1252"))[code - 0x80];
    *out_code = code;
    return i;
}

static const struct reference *find_reference(struct str name)
{
    return bsearch(&name, references, ARRAY_LEN(references), sizeof(*references),
                   compare_reference);
}

/* Of those that were there before the others, the semicolon may be missing. */
static bool is_latin(const struct reference *row)
{
    return row != NULL && row->code < 0x100 && !str_equal(row->name, STR("apos"));
}

/* "auml;" at the beginning of the text, or "auml" of any longer word; likewise. */
static size_t read_name(struct str text, bool is_attribute, uint32_t *out_code)
{
    size_t len = 0;
    const struct reference *row;

    text = str_upto(text, REFERENCE_MAX);
    while (len < text.len && ascii_is_alnum(text.ptr[len]))
        len++;
    row = len < text.len && text.ptr[len] == ';' ? find_reference(str_upto(text, len)) : NULL;
    if (row == NULL && len > LATIN_REFERENCE_MAX)
        len = LATIN_REFERENCE_MAX;
    while (row == NULL && len > 1) {
        row = find_reference(str_upto(text, len));
        if (!is_latin(row)) {
            row = NULL;
            len--;
        }
    }
    if (row == NULL || (is_attribute && len < text.len &&
                        (text.ptr[len] == '=' || ascii_is_alnum(text.ptr[len]))))
        return 0;
    *out_code = row->code;
    return len;
}

/* At a '&'. */
static void read_reference(struct html_reader *r)
{
    struct str rest = str_from(r->html, r->i + 1);
    uint32_t code;
    size_t len =
        str_starts_with(rest, STR("#")) ? read_number(rest, &code) : read_name(rest, r->is_attribute, &code);

    r->i++;
    if (len == 0) {
        put(r, "&", 1);
        return;
    }
    put_code(r, code);
    r->i += len;
    if (r->i < r->html.len && r->html.ptr[r->i] == ';')
        r->i++;
}

static void skip_behind(struct html_reader *r, struct str mark)
{
    ptrdiff_t found = str_find(str_from(r->html, r->i), mark);

    r->i = found < 0 ? r->html.len : r->i + (size_t)found + mark.len;
}

/* Behind the comment that begins at r->i. "<!-->" and "<!--->" are whole ones: the dashes of "-->"
 * may be those of the beginning, those of "--!>" may not. */
static void skip_comment(struct html_reader *r)
{
    size_t start = r->i + 2;
    const char *mark;

    r->i += 4;
    while ((mark = memchr(r->html.ptr + r->i, '>', r->html.len - r->i)) != NULL) {
        size_t end = (size_t)(mark - r->html.ptr);
        struct str inside = str_make(r->html.ptr + start, end - start);

        r->i = end + 1;
        if (str_ends_with(inside, STR("--")) || str_ends_with(str_from(inside, 2), STR("--!")))
            return;
    }
    r->i = r->html.len;
}

/* Where in a tag the next character stands (HTML 13.2.5.8, 13.2.5.32 to 40). */
enum tag_place { IN_TAG_NAME, BEFORE_NAME, IN_NAME, BEHIND_NAME, BEFORE_VALUE, IN_VALUE };

static enum tag_place behind_character(enum tag_place place, char c)
{
    bool has_name = place == IN_NAME || place == BEHIND_NAME;

    if (ascii_is_space(c) || c == '\f')
        return has_name ? BEHIND_NAME : place == BEFORE_VALUE ? BEFORE_VALUE : BEFORE_NAME;
    if (place == BEFORE_VALUE || place == IN_VALUE)
        return IN_VALUE;
    if (c == '/')
        return BEFORE_NAME;
    if (c == '=' && has_name)
        return BEFORE_VALUE;
    return place == IN_TAG_NAME ? IN_TAG_NAME : IN_NAME;
}

/* The quote that ends the value which begins with one at `i`; NULL: there is none. */
static const char *closing_quote(struct str html, size_t i, bool *has_no_more)
{
    bool *has_none = &has_no_more[html.ptr[i] == '"' ? 0 : 1];
    const char *end = NULL;

    if (!*has_none)
        end = memchr(html.ptr + i + 1, html.ptr[i], html.len - i - 1);
    *has_none = end == NULL;
    return end;
}

/* The '>' of the tag whose name begins at `i`, or the text's end; a '>' inside quotes is none. */
static size_t tag_end(struct str html, size_t i, bool *has_no_more)
{
    enum tag_place place = IN_TAG_NAME;

    while (i < html.len && html.ptr[i] != '>') {
        char c = html.ptr[i];
        const char *end = NULL;

        if (place == BEFORE_VALUE && (c == '"' || c == '\''))
            end = closing_quote(html, i, has_no_more);
        place = end != NULL ? BEFORE_NAME : behind_character(place, c);
        i = end != NULL ? (size_t)(end - html.ptr) + 1 : i + 1;
    }
    return i;
}

size_t html_tag_end(struct str tag)
{
    bool has_no_more[2] = {false};

    return tag_end(tag, 0, has_no_more);
}

/* Behind the tag that begins at r->i, of which `skip` bytes stand before its name. */
static void skip_tag(struct html_reader *r, size_t skip)
{
    r->i = tag_end(r->html, r->i + skip, r->has_no_more);
    if (r->i < r->html.len)
        r->i++;
}

/* To the end tag of script or style; what is inside is no text. */
static void skip_content(struct html_reader *r, struct str name)
{
    for (;;) {
        const char *mark = memchr(r->html.ptr + r->i, '<', r->html.len - r->i);
        struct str rest;

        if (mark == NULL)
            break;
        r->i = (size_t)(mark - r->html.ptr) + 1;
        rest = str_from(r->html, r->i);
        if (str_starts_with(rest, STR("/")) && str_starts_with_nocase(str_from(rest, 1), name)) {
            r->i--;
            return;
        }
    }
    r->i = r->html.len;
}

static struct str tag_name(struct str rest)
{
    size_t len = 0;

    while (len < rest.len && len < TAG_NAME_MAX && ascii_is_alnum(rest.ptr[len]))
        len++;
    return str_upto(rest, len);
}

static bool is_inline(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(inline_tags); i++) {
        if (str_equal_nocase(inline_tags[i], name))
            return true;
    }
    return false;
}

/* At a '<'. */
static void read_tag(struct html_reader *r)
{
    struct str rest = str_from(r->html, r->i + 1);
    bool is_end = str_starts_with(rest, STR("/"));
    struct str name;

    if (str_starts_with(rest, STR("!--"))) {
        skip_comment(r);
        return;
    }
    if (str_starts_with(rest, STR("!")) || str_starts_with(rest, STR("?"))) {
        skip_behind(r, STR(">"));
        return;
    }
    name = tag_name(str_from(rest, is_end ? 1 : 0));
    if (name.len == 0 || !ascii_is_alpha(name.ptr[0])) {
        put(r, "<", 1);
        r->i++;
        return;
    }
    skip_tag(r, is_end ? 2 : 1);
    if (!is_inline(name))
        r->blank = '\n';
    if (!is_end && (str_equal_nocase(name, STR("script")) || str_equal_nocase(name, STR("style"))))
        skip_content(r, name);
}

static bool is_at(struct str html, size_t i, const char *character)
{
    return html.ptr[i] == character[0] && i + 1 < html.len && html.ptr[i + 1] == character[1];
}

/* Whether text ends at `i`: something else begins there. */
static bool ends_text(struct str html, size_t i)
{
    char c = html.ptr[i];

    return c == '<' || c == '&' || ascii_is_space(c) || is_at(html, i, NO_BREAK_SPACE) ||
           is_at(html, i, SOFT_HYPHEN);
}

bool html_reader_step(struct html_reader *r, size_t max)
{
    struct str html = r->html;
    size_t until = html.len - r->i < max ? html.len : r->i + max;

    while (r->i < until) {
        size_t start = r->i;

        while (r->i < html.len && !ends_text(html, r->i))
            r->i++;
        if (r->i > start)
            put(r, html.ptr + start, r->i - start);
        if (r->i == html.len)
            break;
        if (html.ptr[r->i] == '<') {
            read_tag(r);
        } else if (html.ptr[r->i] == '&') {
            read_reference(r);
        } else if (is_at(html, r->i, SOFT_HYPHEN)) {
            r->i += 2;
        } else {
            if (r->blank == 0)
                r->blank = ' ';
            r->i += ascii_is_space(html.ptr[r->i]) ? 1 : 2;
        }
    }
    return r->i < html.len;
}
