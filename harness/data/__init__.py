"""Offline data: collected or downloaded, checked, repaired, mapped into memory."""
