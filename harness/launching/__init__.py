"""From runs to packs in worker processes of this machine."""
