"""The store: database, tables, media, migrations."""
