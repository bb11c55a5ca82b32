"""What an account chose about deleting: originals that were moved, and objects whose call log goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionSettings:
    """Two independent choices. The defaults hold until an account saves others.

    `delete_source_after_migration`: the original is deleted at the source once its copy is verified.
    `delete_objects_with_call_logs`: who deletes a call log, a campaign or an account also deletes its recordings and
    their objects in the customer's bucket.
    """

    delete_source_after_migration: bool = True
    delete_objects_with_call_logs: bool = False


DEFAULT = DeletionSettings()
