"""Editing together: one ordered, journaled sequence of operations on a stage, roles, undo of one's own."""

from twin.collab.access import Access, Identity
from twin.collab.alarms import AlarmLog
from twin.collab.bookmarks import Bookmarks
from twin.collab.comments import Comments
from twin.collab.document import Document, Outcome
from twin.collab.journal import Journal
from twin.collab.proposals import Proposals
from twin.collab.roles import ROLES, may
from twin.collab.rules import Rules
from twin.collab.uploads import Uploads
from twin.collab.users import Users

__all__ = [
    "ROLES",
    "Access",
    "AlarmLog",
    "Bookmarks",
    "Comments",
    "Document",
    "Identity",
    "Journal",
    "Outcome",
    "Proposals",
    "Rules",
    "Uploads",
    "Users",
    "may",
]
