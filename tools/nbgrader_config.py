"""nbgrader's settings for the exercises; a teacher can take them into a course."""

c = get_config()  # noqa: F821

c.ClearSolutions.code_stub = {
    "python": "# Your code here, in place of the next line.\nraise NotImplementedError"
}
c.ClearSolutions.text_stub = "*Your answer here: double-click to write.*"
