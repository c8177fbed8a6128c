"""A local service: photographs and videos over HTTP, and one page that shows the answers.

`app.make_app` puts it together: `guard` looks at every request first, `upload` spools a body under a hard limit,
`kinds` says what it is, a `lane` of few threads finds the faces (`photo`, `film`), and `batching` recognises those of
several requests in one forward pass. No path that a client names is ever opened.
"""
