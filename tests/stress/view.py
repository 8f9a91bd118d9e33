"""One client's view of its selected folder, and the rules for what the server may tell it.

`uids` is the mailbox by message number; None is a message that EXISTS told of and that the client
has not looked at. `known` has, by UID, the flags that the client was told last: a set, because after
its own STORE .SILENT it cannot always tell which of two states the server means.
"""

from stress.model import require, show

RECENT_KEPT = 16  # ranges of \Recent messages that a session has still when it wakes (imap/hibernate.h)


class View:
    def __init__(self, client, folder, is_read_only, now):
        self.client, self.folder, self.is_read_only = client, folder, is_read_only
        self.opened_at = now
        self.uids = []
        self.known = {}      # UID -> set of flags
        self.modseqs = {}    # UID -> the last MODSEQ told
        self.recent = set()
        self.recent_count = None  # as RECENT told it
        self.recent_most = 0      # that it ever told
        self.is_open = False      # SELECT was answered
        self.facts = {}           # HIGHESTMODSEQ as last told

    @property
    def words(self):
        return f"{self.client.name} in {self.folder}"

    def message(self, uid):
        return self.folder.messages.get(uid)

    def known_uids(self):
        return [uid for uid in self.uids if uid is not None]

    def unknown_numbers(self):
        """The message numbers that are yet to be looked at."""
        return [number for number, uid in enumerate(self.uids, 1)
                if uid is None or uid not in self.folder.messages]

    # ---- untagged responses ----

    def on_exists(self, count):
        # RFC 3501 §7.3.1; only EXPUNGE makes a mailbox smaller (§7.4.1).
        require(count >= len(self.uids),
                f"{self.words}: EXISTS {count} after {len(self.uids)} messages")
        self.uids += [None] * (count - len(self.uids))

    def on_recent(self, count):
        require(count <= len(self.uids), f"{self.words}: {count} RECENT of {len(self.uids)}")
        self.recent_count = count
        self.recent_most = max(self.recent_most, count)

    def may_forget_recent(self):
        """A session that slept may have forgotten the oldest of many."""
        return self.recent_most > RECENT_KEPT

    def on_expunge(self, number, now):
        require(1 <= number <= len(self.uids),
                f"{self.words}: EXPUNGE {number} of {len(self.uids)} messages")
        uid = self.uids.pop(number - 1)
        self.recent_count = None  # RECENT need not be repeated when it shrinks
        if uid is not None:
            self.forget(uid, now)

    def on_vanished(self, uids, now):
        """RFC 7162 §3.2.10 without EARLIER: each one counts down the mailbox."""
        self.recent_count = None
        for uid in uids:
            if uid in self.uids:
                self.uids.remove(uid)
                self.forget(uid, now)
                continue
            at = self.gap_of(uid)
            require(at is not None, f"{self.words}: VANISHED {uid}, which is not in its view")
            self.uids.pop(at)
            self.folder.told_gone(uid, now, self.words)

    def resume(self, old, vanished, is_limited, now):
        """
        SELECT (QRESYNC …): what the client had, less VANISHED, and what FETCH told anew. With known
        UIDs (`is_limited`) only those are reported, and what is new is yet to be looked at.
        """
        for uid in vanished:
            message = self.message(uid)
            require(message is None or message.gone_at is not None or
                    self.folder.was_removable(message) or self.folder.is_dying,
                    f"{self.words}: VANISHED (EARLIER) {uid}, but {message!r} is there")
            self.folder.told_gone(uid, now, self.words)
        told = set(self.known_uids())
        kept = [uid for uid in old.known_uids() if uid not in vanished]
        whole = sorted(told.union(kept))
        if None in old.uids:
            return  # it had not looked at everything, and does so now
        if is_limited:
            whole += [None] * (len(self.uids) - len(whole))
        require(len(whole) == len(self.uids), f"{self.words}: after SELECT (QRESYNC) it has "
                f"{len(whole)} messages, and EXISTS says {len(self.uids)}: kept {kept}, told "
                f"{sorted(told)}")
        for number, (mine, uid) in enumerate(zip(self.uids, whole), 1):
            require(self.client.is_uidonly or mine in (None, uid),
                    f"{self.words}: number {number} is UID {mine}, not {uid}")
        self.uids = whole
        for uid in kept:
            if uid not in told:
                self.known[uid] = old.known.get(uid, set())
                if uid in old.modseqs:
                    self.modseqs[uid] = old.modseqs[uid]
        self.known = {uid: flags for uid, flags in self.known.items() if flags}

    def gap_of(self, uid):
        """Where an unknown message could have that UID: an index, or None."""
        if self.client.is_uidonly:
            return self.uids.index(None) if None in self.uids else None
        for at, other in enumerate(self.uids):
            if other is None:
                below = next((u for u in reversed(self.uids[:at]) if u is not None), 0)
                above = next((u for u in self.uids[at:] if u is not None), None)
                if below < uid and (above is None or uid < above):
                    return at
        return None

    def forget(self, uid, now):
        self.known.pop(uid, None)
        self.modseqs.pop(uid, None)
        self.recent.discard(uid)
        self.folder.told_gone(uid, now, self.words)

    def on_fetch(self, number, items, sent, now):
        """`* number FETCH (items)`; what it says of the content is the command's business."""
        require(1 <= number <= len(self.uids),
                f"{self.words}: FETCH of number {number} of {len(self.uids)}")
        uid = items.get("UID")
        if uid is not None:
            self.place(number, uid)
        else:
            uid = self.uids[number - 1]
        self.on_items(uid, items, sent, now)
        return uid

    def on_uid_fetch(self, uid, items, sent, now):
        """`* uid UIDFETCH (items)` (RFC 9586 §3.3)."""
        if uid not in self.uids:
            # Nobody says numbers here: the ones not looked at are kept at the end.
            require(None in self.uids, f"{self.words}: UIDFETCH of {uid}, which is not in its view")
            self.uids.remove(None)
            self.uids = sorted([*self.known_uids(), uid]) + [None] * self.uids.count(None)
        self.on_items(uid, items, sent, now)
        return uid

    def place(self, number, uid):
        """The message of that number has that UID: numbers keep the order of UIDs."""
        known = self.uids[number - 1]
        require(known is None or known == uid,
                f"{self.words}: number {number} is UID {uid}, was {known}")
        if known is not None:
            return
        below = next((u for u in reversed(self.uids[:number - 1]) if u is not None), 0)
        above = next((u for u in self.uids[number:] if u is not None), float("inf"))
        require(below < uid < above, f"{self.words}: number {number} is UID {uid}, between "
                f"{below} and {above}")
        self.uids[number - 1] = uid

    def on_items(self, uid, items, sent, now):
        flags, modseq = items.get("FLAGS"), items.get("MODSEQ")
        message = None if uid is None else self.message(uid)
        if uid is None:
            return
        if flags is not None:
            is_recent = "\\Recent" in flags
            flags = flags - {"\\Recent"}
            self.known[uid] = {flags}
            self.told_recent(uid, is_recent, message)
        if modseq is not None:
            require(modseq >= self.modseqs.get(uid, 0), f"{self.words}: MODSEQ of UID {uid} went "
                    f"from {self.modseqs.get(uid)} to {modseq}")
            self.modseqs[uid] = modseq
        if message is None or message.gone_at is not None:
            return
        if flags is not None:
            message.observe(flags, sent, now, self.words)
        if flags is not None and modseq is not None:
            message.told_version(modseq, flags, sent, now, self.words)
        elif modseq is not None:
            message.told_modseq(modseq, sent, now, self.words)

    def told_recent(self, uid, is_recent, message):
        """RFC 3501 §2.3.2: \\Recent for one session only, which is not one of EXAMINE."""
        if is_recent and uid not in self.recent:
            require(not self.client.is_rev2, f"{self.words}: \\Recent in IMAP4rev2")
            self.recent.add(uid)
            if message is not None and not self.is_read_only:
                owner = message.recent_of
                require(owner is None or owner is self,
                        f"{self.words}: {message!r} is \\Recent here and at {owner and owner.words}")
                message.recent_of = self
        elif not is_recent and uid in self.recent:
            require(self.may_forget_recent(), f"{self.words}: UID {uid} was \\Recent, and is not now")
            self.recent.discard(uid)

    # ---- when a command is over ----

    def check(self, sent, may_expunge):
        """All that was so before the command was sent must have arrived."""
        if self.folder.is_dying:
            return
        present = {uid for uid in self.uids if uid in self.folder.messages}
        nones = len(self.uids) - len(present)
        delivered = self.folder.delivered(sent)
        missing = [message for message in self.folder.required(sent)
                   if message.uid not in present]
        require(len(missing) + delivered <= nones,
                f"{self.words}: {missing[:5]} and {delivered} deliveries were there before the "
                f"command was sent, and are not announced ({len(self.uids)} messages, {nones} "
                "unknown)")
        for uid in present:
            message = self.message(uid)
            if message is None:
                continue
            if message.gone_at is not None:
                require(not may_expunge or message.gone_at >= sent,
                        f"{self.words}: {message!r} was gone before the command was sent, and "
                        "that is not announced")
                continue
            self.check_flags(message, sent)

    def check_flags(self, message, sent):
        known = self.known.get(message.uid)
        if known is None or None in message.base or not message.is_stable_since(sent) or \
                self.folder.may_be_gone(message):
            return  # of what is expunged, and not yet announced, flags are not told any more
        both = known & message.base
        require(both, f"{self.words}: it knows {message!r} as "
                f"{' or '.join(map(show, known))}; it is {' or '.join(map(show, message.base))} "
                "since before the command was sent")
        self.known[message.uid] = both

    def silent_store(self, uid, change, told):
        """Its own .SILENT STORE is done: the flags are what it asked for, unless told otherwise."""
        known = self.known.get(uid)
        if known is None or uid in change.modified:
            return
        after = {change.apply(flags) for flags in known}
        self.known[uid] = known | after if told else after

    def check_exactly(self, now):
        """In a quiet moment: the view is the mailbox."""
        alive = sorted(message.uid for message in self.folder.alive())
        require(len(self.uids) == len(alive),
                f"{self.words}: {len(self.uids)} messages in view, {len(alive)} in the mailbox "
                f"(only here: {sorted(set(self.known_uids()) - set(alive))[:10]}, only there: "
                f"{sorted(set(alive) - set(self.known_uids()))[:10]})")
        for number, (mine, uid) in enumerate(zip(self.uids, alive), 1):
            require(mine in (None, uid) or (self.client.is_uidonly and None in self.uids),
                    f"{self.words}: number {number} is UID {mine}, not {uid}")
            if mine is not None:
                self.check_flags(self.message(mine), now + 1)
        if self.recent_count is not None and all(self.uids) and not self.client.is_rev2 and \
                all(uid in self.known for uid in self.uids):
            require(self.recent_count == len(self.recent) or
                    (self.recent_count < len(self.recent) and self.may_forget_recent()),
                    f"{self.words}: RECENT {self.recent_count}, but {len(self.recent)} messages "
                    "are \\Recent")
