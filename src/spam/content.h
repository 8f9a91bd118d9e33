/*
 * What a file is, by its bytes: whoever sends a program calls it invoice.pdf. And what its name
 * pretends.
 */
#ifndef SPAM_CONTENT_H
#define SPAM_CONTENT_H

#include "base/str.h"
#include "spam/budget.h"

enum spam_content {
    SPAM_CONTENT_OTHER,
    /* Run when they are opened. */
    SPAM_CONTENT_PE,    /* Windows programs, libraries, screen savers */
    SPAM_CONTENT_DOS,   /* the same for DOS: MZ without PE */
    SPAM_CONTENT_ELF,
    SPAM_CONTENT_MACHO,
    SPAM_CONTENT_JAVA,  /* a class; archives of them are found by what is in them */
    SPAM_CONTENT_DEX,   /* Android */
    SPAM_CONTENT_MSI,   /* Windows installer */
    SPAM_CONTENT_LNK,   /* a Windows shortcut with a command line */
    SPAM_CONTENT_CHM,   /* compiled HTML help */
    SPAM_CONTENT_HTA,   /* HTML application */
    SPAM_CONTENT_SCRIPT, /* of Windows: batch, PowerShell, VBScript, JScript, encoded or not */
    SPAM_CONTENT_SHELL, /* begins with #! */
    /* May hold something that runs. */
    SPAM_CONTENT_OLE,       /* an Office document of the old kind */
    SPAM_CONTENT_OLE_MACRO, /* with macros */
    SPAM_CONTENT_RTF_OBJECT,
    SPAM_CONTENT_ONENOTE,
    SPAM_CONTENT_PDF_ACTION, /* JavaScript, or starts a program */
    SPAM_CONTENT_DISK,       /* VHD, VHDX, DMG */
    /* Looked into (archives.h). */
    SPAM_CONTENT_ZIP,
    SPAM_CONTENT_GZIP,
    SPAM_CONTENT_BZIP2,
    SPAM_CONTENT_XZ,
    SPAM_CONTENT_SEVEN_ZIP,
    SPAM_CONTENT_RAR,
    SPAM_CONTENT_CAB,
    SPAM_CONTENT_TAR,
    SPAM_CONTENT_ISO,
    SPAM_CONTENT_ARCHIVE_OTHER, /* known, and not looked into: zstd, lzma, ACE, ARJ */
};

enum { SPAM_CONTENT_HEAD = 64 * 1024 }; /* so many bytes tell, except for OLE and PDF */

/* By its bytes alone, never by a name. */
enum spam_content spam_content_of(struct str bytes);
/* Run by whoever opens it: refused. */
bool spam_content_is_program(enum spam_content content);
bool spam_content_is_archive(enum spam_content content);
/* "a Windows program"; constant. */
const char *spam_content_words(enum spam_content content);

/* What a file name says. */
struct spam_name {
    bool is_program;     /* its extension makes Windows run it */
    bool is_double;      /* "invoice.pdf.exe", or the extension far away behind blanks */
    bool has_override;   /* U+202E and the like turn "exe.pdf" around */
    bool claims_document; /* ends like a picture, a text, a document */
};
void spam_name_judge(struct str name, struct spam_name *out);

#endif
