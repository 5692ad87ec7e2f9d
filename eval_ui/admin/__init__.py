"""The sections of the Study page; each is handed the admin's identity, which the back end demands."""
