"""Whether what was committed in a mailbox is at the destination: what its process notes of that
(src/backup/shipping.h), beside its write-ahead log (https://sqlite.org/walformat.html)."""

import struct

# struct record of src/backup/shipping.c: version, then generation, began_ms, last_ms, next_number,
# previous, change_counter, the place's salts and frames, is_closed, what the file was; and the MAC.
NOTE = struct.Struct("=8s25s7xqqQ32sQ8sI?3xQQq32s")
WAL_HEADER = struct.Struct(">4sIII8s8s")
FRAME_HEADER = struct.Struct(">II8s8s")


def noted(path):
    """The place up to which the destination has the log, (salts, frames), and whether the mailbox was
    closed there; None: there is no note."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    (version, _, _, _, _, _, _, salts, frames, is_closed, *_) = NOTE.unpack(content)
    if version != b"SPSHIP1\0":
        raise AssertionError(f"a note of another form: {version}")
    # As numbers in memory; in the log they are written with the high byte first.
    return b"".join(salts[at:at + 4][::-1] for at in (0, 4)), frames, is_closed


def committed(path):
    """The place behind the log's last commit; None: there is no log."""
    try:
        log = path.open("rb")
    except FileNotFoundError:
        return None
    with log:
        header = log.read(WAL_HEADER.size)
        if len(header) < WAL_HEADER.size:
            return None
        _, _, page_bytes, _, salts, _ = WAL_HEADER.unpack(header)
        frames = number = 0
        while len(header := log.read(FRAME_HEADER.size)) == FRAME_HEADER.size:
            _, database_pages, frame_salts, _ = FRAME_HEADER.unpack(header)
            if frame_salts != salts:
                break
            number += 1
            if database_pages > 0:
                frames = number
            log.seek(page_bytes, 1)
        return salts, frames


def is_shipped(mailbox_file, has_process):
    """Of the mailbox whose file this is. `has_process()`: some mailbox's process is there."""
    log = committed(mailbox_file.with_suffix(".sqlite-wal"))
    note = noted(mailbox_file.with_suffix(".shipping"))
    if log is None:
        # One that left with a segment that the destination did not take has a note, which says so.
        return not has_process() if note is None else note[2]
    return note is not None and note[0] == log[0] and note[1] >= log[1]
