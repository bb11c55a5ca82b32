"""What keeping recordings costs, there and here, by the price list in the settings."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Dollars. Twilio: the first minutes stored are free, then a price a minute and month. Bucket: a GB and month."""

    source_free_minutes: int = 10_000  # BRIEF4: Twilio's recordings article
    source_minute_month: float = 0.0005
    bucket_gb_month: float = 0.023  # S3 Standard
    glacier_ir_gb_month: float = 0.004
    deep_archive_gb_month: float = 0.00099

    def at_source(self, minutes: float) -> float:
        """A month's price of so many minutes at the source."""
        return round(max(0.0, minutes - self.source_free_minutes) * self.source_minute_month, 2)

    def of_class(self, storage_class: str) -> float:
        """A GB and month in a storage class; Standard's price for those that are not on the list."""
        listed = {"GLACIER_IR": self.glacier_ir_gb_month, "DEEP_ARCHIVE": self.deep_archive_gb_month}
        return listed.get(storage_class, self.bucket_gb_month)

    def in_class(self, storage_class: str, size_bytes: int) -> float:
        """A month's price of so many bytes in a storage class."""
        return round(size_bytes / GIB * self.of_class(storage_class), 2)

    def in_bucket(self, size_bytes: int) -> float:
        """A month's price of so many bytes in the bucket."""
        return round(size_bytes / GIB * self.bucket_gb_month, 2)
