"""Texts that transformers makes of conversations: {"templates", "conversations", "tokens"} -> a list a template of texts, or
null where the template refuses the conversation."""

from exchange import answer, request
from transformers.utils.chat_template_utils import render_jinja_template

asked = request()


def rendered(template, conversation):
    try:
        return render_jinja_template(
            conversations=[conversation], chat_template=template, add_generation_prompt=False, **asked["tokens"]
        )[0][0]
    except Exception as error:  # of Jinja, or of the template itself
        return {"error": f"{type(error).__name__}: {error}"}


answer([[rendered(template, c) for c in asked["conversations"]] for template in asked["templates"]])
