"""THREAD's algorithms (RFC 5256 §3; REFS: draft-ietf-morg-inthread-01) as they are written down there.

Each takes (number, message) pairs in the order of the folder and gives the text of the answer.
"""


class Node:
    """A message with its children; without a message a dummy."""

    def __init__(self, number=None, message=None):
        self.number, self.message = number, message
        self.parent, self.children = None, []

    @property
    def is_dummy(self):
        return self.message is None

    def adopt(self, child):
        child.leave()
        child.parent = self
        self.children.append(child)

    def leave(self):
        if self.parent is not None:
            self.parent.children.remove(self)
            self.parent = None

    def stands_in(self, above, others):
        """Puts others at the place of this one."""
        at = above.children.index(self)
        above.children[at:at + 1] = others
        self.parent = None
        for each in others:
            each.parent = above

    def is_above(self, other):
        """Or is it: a link from other's descendant to this one would close a circle."""
        while other is not None:
            if other is self:
                return True
            other = other.parent
        return False

    def first(self):
        """The message; a dummy's is its first child's."""
        node = self
        while node.is_dummy:
            node = node.children[0]
        return node

    def place(self):
        """By sent date, then by the order of the folder."""
        first = self.first()
        return first.message.sent_or_arrived, first.number

    def newest(self):
        own = [] if self.is_dummy else [self.place()]
        return max(own + [each.newest() for each in self.children])

    def sort(self):
        for each in self.children:
            each.sort()
        self.children.sort(key=Node.place)

    def text(self):
        """thread-members and thread-nested of RFC 5256 §5."""
        words = [] if self.is_dummy else [str(self.number)]
        if len(self.children) == 1 and not self.is_dummy:
            words.append(self.children[0].text())
        elif self.children:
            words.append(in_parentheses(self.children))
        return " ".join(words)


def in_parentheses(nodes):
    return "".join(f"({each.text()})" for each in nodes)


def references(pairs):
    root = threads(pairs)
    root.sort()  # step 4
    gather_subjects(root)
    root.sort()  # step 6
    return in_parentheses(root.children)


def refs(pairs):
    """REFS: no subjects, and threads in the order of their newest messages."""
    root = threads(pairs)
    root.sort()
    root.children.sort(key=Node.newest)
    return in_parentheses(root.children)


def ordered_subject(pairs):
    """Sorted by subject and date, the rest of a thread being the children of its first; threads by the
    date of the first."""
    by_subject = {}
    for number, message in sorted(pairs, key=lambda pair: (pair[1].sent_or_arrived, pair[0])):
        node = Node(number, message)
        if message.base in by_subject:
            by_subject[message.base].adopt(node)
        else:
            by_subject[message.base] = node
    return in_parentheses(by_subject.values())


# ---- REFERENCES, steps 1 to 3 ----

def threads(pairs):
    """A root whose children begin the threads."""
    nodes, by_identity = [], {}
    for number, message in pairs:
        node = node_of(nodes, by_identity, number, message)
        join(node, chain(nodes, by_identity, message.references))
    root = Node()
    for node in nodes:  # step 2
        if node.parent is None:
            root.adopt(node)
    for node in list(root.children):
        prune(node, root)
    return root


def normalized(identity):
    """RFC 5256 §3: a Message-ID with a needless quoted-string is that without it."""
    return identity[1:-1].replace('"', "").replace("\\", "")


def node_of(nodes, by_identity, number, message):
    """The node that references to it have made already, or one of its own: a Message-ID that another message
    has is none (step 1)."""
    identity = normalized(message.identity) if message.identity else None
    node = by_identity.get(identity)
    if node is not None and node.is_dummy:
        node.number, node.message = number, message
        return node
    nodes.append(Node(number, message))
    if identity is not None and node is None:
        by_identity[identity] = nodes[-1]
    return nodes[-1]


def chain(nodes, by_identity, identities):
    """Step 1.A: each reference becomes the parent of the next unless that has one, or a circle would close.
    The last of them, or None."""
    last = None
    for identity in map(normalized, identities):
        if identity not in by_identity:
            nodes.append(Node())
            by_identity[identity] = nodes[-1]
        node = by_identity[identity]
        if last is not None and node.parent is None and not node.is_above(last):
            last.adopt(node)
        last = node
    return last


def join(node, parent):
    """Step 1.B: what the message itself says of its parent replaces what others said."""
    if parent is None:
        node.leave()
    elif node.parent is not parent and not node.is_above(parent):
        parent.adopt(node)


def prune(node, root):
    """Step 3: dummies without children go; those with children give them to their parents, but to the root
    no more than one."""
    above = node.parent
    for each in list(node.children):
        prune(each, root)
    if not node.is_dummy:
        return
    if not node.children:
        node.leave()
    elif above is not root or len(node.children) == 1:
        node.stands_in(above, node.children)


# ---- REFERENCES, step 5 ----

def gather_subjects(root):
    by_subject = {}
    for node in root.children:  # 5.B
        subject = node.first().message.base
        known = by_subject.get(subject)
        if subject and (known is None or is_better(node, known)):
            by_subject[subject] = node
    for node in list(root.children):  # 5.C
        subject = node.first().message.base
        if subject and by_subject[subject] is not node:
            by_subject[subject] = merged(by_subject[subject], node)


def is_better(node, known):
    """5.B.iv: it takes the known one's place in the table."""
    if known.is_dummy:
        return False
    return node.is_dummy or (known.message.is_reply and not node.message.is_reply)


def merged(known, node):
    """5.C.iv: one thread of two with the same subject. Its beginning."""
    if known.is_dummy and node.is_dummy:
        for each in list(node.children):
            known.adopt(each)
        node.leave()
        return known
    if known.is_dummy or (node.message.is_reply and not known.message.is_reply):
        known.adopt(node)
        return known
    both = Node()
    known.stands_in(known.parent, [both])
    both.adopt(known)
    both.adopt(node)
    return both
