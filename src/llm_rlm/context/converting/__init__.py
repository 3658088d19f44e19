"""Documents as Markdown: PDF, Office, EPUB, HTML and mail, converted in a process with limits."""
