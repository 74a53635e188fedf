"""The report of a digest: `build` makes it of plan and answers, `write` writes Markdown, HTML and JSON."""
