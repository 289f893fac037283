"""Web: the app. It answers requests with the page, the stream, snapshots and the status."""
