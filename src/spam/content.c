#include "spam/content.h"

#include "base/ascii.h"

#include <string.h>

/* --- Beginnings --- */

#define MAGIC(text) STR_INIT(text)

static const struct {
    struct str bytes;
    size_t at;
    enum spam_content content;
} magics[] = {
    {MAGIC("\x7f" "ELF"), 0, SPAM_CONTENT_ELF},
    {MAGIC("\xfe\xed\xfa\xce"), 0, SPAM_CONTENT_MACHO},
    {MAGIC("\xfe\xed\xfa\xcf"), 0, SPAM_CONTENT_MACHO},
    {MAGIC("\xce\xfa\xed\xfe"), 0, SPAM_CONTENT_MACHO},
    {MAGIC("\xcf\xfa\xed\xfe"), 0, SPAM_CONTENT_MACHO},
    {MAGIC("dex\n03"), 0, SPAM_CONTENT_DEX},
    {MAGIC("L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"), 0, SPAM_CONTENT_LNK},
    {MAGIC("ITSF\x03\0\0\0"), 0, SPAM_CONTENT_CHM},
    {MAGIC("#@~^"), 0, SPAM_CONTENT_SCRIPT}, /* VBScript or JScript, encoded */
    {MAGIC("\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"), 0,
     SPAM_CONTENT_ONENOTE},
    {MAGIC("vhdxfile"), 0, SPAM_CONTENT_DISK},
    {MAGIC("conectix"), 0, SPAM_CONTENT_DISK},
    {MAGIC("PK\x03\x04"), 0, SPAM_CONTENT_ZIP},
    {MAGIC("PK\x05\x06"), 0, SPAM_CONTENT_ZIP},
    {MAGIC("PK\x07\x08PK"), 0, SPAM_CONTENT_ZIP},
    {MAGIC("\x1f\x8b\x08"), 0, SPAM_CONTENT_GZIP},
    {MAGIC("BZh"), 0, SPAM_CONTENT_BZIP2},
    {MAGIC("\xfd" "7zXZ\0"), 0, SPAM_CONTENT_XZ},
    {MAGIC("7z\xbc\xaf\x27\x1c"), 0, SPAM_CONTENT_SEVEN_ZIP},
    {MAGIC("Rar!\x1a\x07"), 0, SPAM_CONTENT_RAR},
    {MAGIC("MSCF\0\0\0\0"), 0, SPAM_CONTENT_CAB},
    {MAGIC("ustar"), 257, SPAM_CONTENT_TAR},
    {MAGIC("CD001"), 32769, SPAM_CONTENT_ISO},
    {MAGIC("BEA01"), 32769, SPAM_CONTENT_DISK},
    {MAGIC("\x28\xb5\x2f\xfd"), 0, SPAM_CONTENT_ARCHIVE_OTHER},
    {MAGIC("**ACE**"), 7, SPAM_CONTENT_ARCHIVE_OTHER},
    {MAGIC("\x60\xea"), 0, SPAM_CONTENT_ARCHIVE_OTHER},
};

static uint32_t little32(const char *bytes)
{
    return (uint32_t)(unsigned char)bytes[0] | (uint32_t)(unsigned char)bytes[1] << 8 |
           (uint32_t)(unsigned char)bytes[2] << 16 | (uint32_t)(unsigned char)bytes[3] << 24;
}

/* A program, or a text that begins with MZ: the header must make sense. */
static enum spam_content mz(struct str bytes)
{
    uint32_t header;

    if (bytes.len < 64)
        return SPAM_CONTENT_OTHER;
    header = little32(bytes.ptr + 60);
    if (header < bytes.len && bytes.len - header >= 4 &&
        memcmp(bytes.ptr + header, "PE\0\0", 4) == 0)
        return SPAM_CONTENT_PE;
    /* Paragraphs of the header: 2 or more, of which a text has some 8,000. */
    return little32(bytes.ptr + 8) % 65536 <= 1024 && memchr(bytes.ptr, '\0', 64) != NULL
               ? SPAM_CONTENT_DOS
               : SPAM_CONTENT_OTHER;
}

/* A Java class and a Mach-O of several processors begin alike; the number behind it differs. */
static enum spam_content cafebabe(struct str bytes)
{
    if (bytes.len < 8)
        return SPAM_CONTENT_OTHER;
    return bytes.ptr[4] == 0 && bytes.ptr[5] == 0 && bytes.ptr[6] == 0 &&
                   (unsigned char)bytes.ptr[7] < 40
               ? SPAM_CONTENT_MACHO
               : SPAM_CONTENT_JAVA;
}

/* --- OLE --- */

static bool has(struct str bytes, struct str part)
{
    return memmem(bytes.ptr, bytes.len, part.ptr, part.len) != NULL;
}

static enum spam_content ole(struct str bytes)
{
    /* The class of installer packages, of patches and transforms: {000C108n-0000-0000-C000-…46}. */
    static const char package[] = "\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";
    const char *found = memmem(bytes.ptr, bytes.len, package, sizeof(package) - 1);

    if (found != NULL && found > bytes.ptr &&
        ((unsigned char)found[-1] >= 0x82 && (unsigned char)found[-1] <= 0x86))
        return SPAM_CONTENT_MSI;
    /* The folder of a macro project, and what the source of a module begins with when compressed. */
    if (has(bytes, STR("_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0")) ||
        has(bytes, STR("Attribut\0e VB_")))
        return SPAM_CONTENT_OLE_MACRO;
    return SPAM_CONTENT_OLE;
}

/* --- Texts that run --- */

/* Texts are looked at in lower case, of UTF-16 every other byte. */
enum { TEXT_LOOKED_AT = 16 * 1024 };

struct lowered {
    char bytes[TEXT_LOOKED_AT];
    size_t len;
};

static bool lower_text(struct str bytes, struct lowered *out)
{
    bool is_wide = bytes.len >= 2 && (memcmp(bytes.ptr, "\xff\xfe", 2) == 0 ||
                                      memcmp(bytes.ptr, "\xfe\xff", 2) == 0);
    size_t step = is_wide ? 2 : 1;
    size_t i = is_wide ? (bytes.ptr[0] == '\xff' ? 2 : 3) : 0;

    if (str_starts_with(bytes, STR("\xef\xbb\xbf")))
        i = 3;
    out->len = 0;
    for (; i < bytes.len && out->len < TEXT_LOOKED_AT; i += step) {
        char c = bytes.ptr[i];

        if (c == '\0')
            return false;
        out->bytes[out->len++] = ascii_lower(c);
    }
    return true;
}

/* Words that scripts are made of; one that is telling is enough, of the others two. */
static const struct {
    struct str word;
    unsigned weight;
} script_words[] = {
    {STR_INIT("wscript.shell"), 2},        {STR_INIT("wscript.createobject"), 2},
    {STR_INIT("scripting.filesystemobject"), 2}, {STR_INIT("new activexobject("), 2},
    {STR_INIT("shell.application"), 1},    {STR_INIT("adodb.stream"), 1},
    {STR_INIT("msxml2.xmlhttp"), 1},       {STR_INIT("createobject("), 1},
    {STR_INIT("wscript."), 1},             {STR_INIT("on error resume next"), 1},
    {STR_INIT("executeglobal"), 1},        {STR_INIT("powershell -"), 1},
    {STR_INIT("powershell.exe"), 1},       {STR_INIT("-encodedcommand"), 1},
    {STR_INIT("-executionpolicy bypass"), 1}, {STR_INIT("invoke-expression"), 1},
    {STR_INIT("new-object net.webclient"), 2}, {STR_INIT("new-object system.net.webclient"), 2},
    {STR_INIT("downloadstring("), 1},      {STR_INIT("downloadfile("), 1},
    {STR_INIT("frombase64string("), 1},    {STR_INIT("iex("), 1},
    {STR_INIT("iex ("), 1},                {STR_INIT("invoke-webrequest"), 1},
    {STR_INIT("start-process"), 1},        {STR_INIT("certutil -"), 1},
    {STR_INIT("bitsadmin"), 1},            {STR_INIT("mshta "), 1},
    {STR_INIT("regsvr32 "), 1},            {STR_INIT("rundll32 "), 1},
    {STR_INIT("cmd /c "), 1},              {STR_INIT("cmd.exe /c"), 1},
    {STR_INIT("%comspec%"), 1},            {STR_INIT("setlocal enable"), 1},
    {STR_INIT("\nset /a "), 1},            {STR_INIT("%~dp0"), 1},
    {STR_INIT("goto :eof"), 1},            {STR_INIT("param(\n"), 0},
};

static enum spam_content text_that_runs(struct str bytes)
{
    struct lowered text;
    struct str all, start;
    unsigned weight = 0;

    if (!lower_text(bytes, &text))
        return SPAM_CONTENT_OTHER;
    all = str_make(text.bytes, text.len);
    start = str_trim(all);
    if (has(all, STR("<hta:application")) || str_starts_with(start, STR("<job")) ||
        str_starts_with(start, STR("<?xml version=\"1.0\"?><scriptlet")) ||
        has(all, STR("<scriptlet")) || str_starts_with(start, STR("<package><job")))
        return SPAM_CONTENT_HTA;
    if (str_starts_with(start, STR("@echo off")) || str_starts_with(start, STR("@echo on")))
        return SPAM_CONTENT_SCRIPT;
    if (str_starts_with(start, STR("#!/")) || str_starts_with(start, STR("#! /")))
        return SPAM_CONTENT_SHELL;
    for (size_t i = 0; i < ARRAY_LEN(script_words); i++) {
        if (has(all, script_words[i].word))
            weight += script_words[i].weight;
    }
    return weight >= 2 ? SPAM_CONTENT_SCRIPT : SPAM_CONTENT_OTHER;
}

static enum spam_content rtf(struct str bytes)
{
    return has(bytes, STR("\\objdata")) || has(bytes, STR("\\objocx")) ? SPAM_CONTENT_RTF_OBJECT
                                                                       : SPAM_CONTENT_OTHER;
}

static enum spam_content pdf(struct str bytes)
{
    return has(bytes, STR("/JavaScript")) || has(bytes, STR("/Launch")) ? SPAM_CONTENT_PDF_ACTION
                                                                        : SPAM_CONTENT_OTHER;
}

/* A tar without the word "ustar" (version 7): the header's checksum is right. */
static bool is_old_tar(struct str bytes)
{
    uint32_t sum = 0, written = 0;
    bool has_digit = false;

    if (bytes.len < 512 || bytes.ptr[0] == '\0')
        return false;
    for (size_t i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? ' ' : (unsigned char)bytes.ptr[i];
    for (size_t i = 148; i < 156; i++) {
        if (bytes.ptr[i] >= '0' && bytes.ptr[i] <= '7') {
            written = written * 8 + (uint32_t)(bytes.ptr[i] - '0');
            has_digit = true;
        } else if (has_digit) {
            break;
        }
    }
    return has_digit && written == sum;
}

enum spam_content spam_content_of(struct str bytes)
{
    for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
        if (str_starts_with(str_from(bytes, magics[i].at), magics[i].bytes))
            return magics[i].content;
    }
    if (str_starts_with(bytes, STR("MZ")))
        return mz(bytes);
    if (str_starts_with(bytes, STR("\xca\xfe\xba\xbe")))
        return cafebabe(bytes);
    if (str_starts_with(bytes, STR("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")))
        return ole(bytes);
    if (str_starts_with(bytes, STR("{\\rt")))
        return rtf(bytes);
    if (str_find(str_upto(bytes, 1024), STR("%PDF-")) >= 0)
        return pdf(bytes);
    if (is_old_tar(bytes))
        return SPAM_CONTENT_TAR;
    return text_that_runs(str_upto(bytes, SPAM_CONTENT_HEAD));
}

static const char *const words[] = {
    [SPAM_CONTENT_OTHER] = "nothing that runs",
    [SPAM_CONTENT_PE] = "a Windows program",
    [SPAM_CONTENT_DOS] = "a DOS program",
    [SPAM_CONTENT_ELF] = "a Linux program",
    [SPAM_CONTENT_MACHO] = "a macOS program",
    [SPAM_CONTENT_JAVA] = "a Java program",
    [SPAM_CONTENT_DEX] = "an Android program",
    [SPAM_CONTENT_MSI] = "a Windows installer",
    [SPAM_CONTENT_LNK] = "a Windows shortcut",
    [SPAM_CONTENT_CHM] = "a compiled help file",
    [SPAM_CONTENT_HTA] = "an HTML application",
    [SPAM_CONTENT_SCRIPT] = "a Windows script",
    [SPAM_CONTENT_SHELL] = "a shell script",
    [SPAM_CONTENT_OLE] = "an Office document",
    [SPAM_CONTENT_OLE_MACRO] = "an Office document with macros",
    [SPAM_CONTENT_RTF_OBJECT] = "a text document with an embedded object",
    [SPAM_CONTENT_ONENOTE] = "a OneNote file",
    [SPAM_CONTENT_PDF_ACTION] = "a PDF that runs something",
    [SPAM_CONTENT_DISK] = "a disk image",
    [SPAM_CONTENT_ZIP] = "a zip archive",
    [SPAM_CONTENT_GZIP] = "a gzip file",
    [SPAM_CONTENT_BZIP2] = "a bzip2 file",
    [SPAM_CONTENT_XZ] = "an xz file",
    [SPAM_CONTENT_SEVEN_ZIP] = "a 7z archive",
    [SPAM_CONTENT_RAR] = "a rar archive",
    [SPAM_CONTENT_CAB] = "a cabinet",
    [SPAM_CONTENT_TAR] = "a tar archive",
    [SPAM_CONTENT_ISO] = "a disk image",
    [SPAM_CONTENT_ARCHIVE_OTHER] = "an archive of another kind",
};

bool spam_content_is_program(enum spam_content content)
{
    return content >= SPAM_CONTENT_PE && content <= SPAM_CONTENT_SCRIPT;
}

bool spam_content_is_archive(enum spam_content content)
{
    return content >= SPAM_CONTENT_ZIP && content <= SPAM_CONTENT_ARCHIVE_OTHER;
}

const char *spam_content_words(enum spam_content content)
{
    return words[content];
}

/* --- Names --- */

static const struct str program_extensions[] = {
    STR_INIT("ade"), STR_INIT("adp"), STR_INIT("apk"), STR_INIT("appx"), STR_INIT("application"),
    STR_INIT("bat"), STR_INIT("cmd"), STR_INIT("com"), STR_INIT("cpl"),  STR_INIT("exe"),
    STR_INIT("gadget"), STR_INIT("hta"), STR_INIT("inf"), STR_INIT("ins"), STR_INIT("isp"),
    STR_INIT("jar"), STR_INIT("js"),  STR_INIT("jse"), STR_INIT("lnk"), STR_INIT("mde"),
    STR_INIT("msc"), STR_INIT("msh"), STR_INIT("msi"), STR_INIT("msix"), STR_INIT("msp"),
    STR_INIT("mst"), STR_INIT("pif"), STR_INIT("ps1"), STR_INIT("psc1"), STR_INIT("reg"),
    STR_INIT("scf"), STR_INIT("scr"), STR_INIT("sct"), STR_INIT("shb"), STR_INIT("url"),
    STR_INIT("vb"),  STR_INIT("vbe"), STR_INIT("vbs"), STR_INIT("wsc"), STR_INIT("wsf"),
    STR_INIT("wsh"), STR_INIT("xll"), STR_INIT("chm"), STR_INIT("settingcontent-ms"),
};
static const struct str document_extensions[] = {
    STR_INIT("pdf"),  STR_INIT("doc"),  STR_INIT("docx"), STR_INIT("xls"), STR_INIT("xlsx"),
    STR_INIT("ppt"),  STR_INIT("pptx"), STR_INIT("odt"),  STR_INIT("ods"), STR_INIT("txt"),
    STR_INIT("rtf"),  STR_INIT("jpg"),  STR_INIT("jpeg"), STR_INIT("png"), STR_INIT("gif"),
    STR_INIT("csv"),  STR_INIT("htm"),  STR_INIT("html"), STR_INIT("mp3"), STR_INIT("mp4"),
    STR_INIT("wav"),  STR_INIT("eml"),  STR_INIT("xml"),  STR_INIT("heic"), STR_INIT("webp"),
};

static bool is_one_of(struct str extension, const struct str *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (str_equal_nocase(extension, list[i]))
            return true;
    }
    return false;
}

/* Directional overrides and isolates: U+202A … U+202E, U+2066 … U+2069. */
static bool has_override(struct str name)
{
    for (size_t i = 0; i + 2 < name.len; i++) {
        unsigned char third = (unsigned char)name.ptr[i + 2];

        if (name.ptr[i] == '\xe2' && ((name.ptr[i + 1] == '\x80' && third >= 0xaa && third <= 0xae) ||
                                      (name.ptr[i + 1] == '\x81' && third >= 0xa6 && third <= 0xa9)))
            return true;
    }
    return false;
}

void spam_name_judge(struct str name, struct spam_name *out)
{
    ptrdiff_t dot;
    struct str extension, before;

    *out = (struct spam_name){.has_override = has_override(name)};
    name = str_trim(name);
    while (name.len > 0 && name.ptr[name.len - 1] == '.') /* Windows drops them */
        name.len--;
    dot = str_last_index(name, '.');
    if (dot < 0)
        return;
    extension = str_trim(str_from(name, (size_t)dot + 1));
    out->is_program = is_one_of(extension, program_extensions, ARRAY_LEN(program_extensions));
    out->claims_document =
        is_one_of(extension, document_extensions, ARRAY_LEN(document_extensions));
    before = str_trim(str_upto(name, (size_t)dot));
    dot = str_last_index(before, '.');
    if (!out->is_program || dot < 0)
        return;
    out->is_double = is_one_of(str_trim(str_from(before, (size_t)dot + 1)), document_extensions,
                               ARRAY_LEN(document_extensions));
}
