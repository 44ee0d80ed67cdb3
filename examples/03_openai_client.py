"""Use a running Banyan with the official OpenAI client: chat, and a knowledge base as a model.

banyan up            # in another terminal
python examples/03_openai_client.py [http://127.0.0.1:8080/v1]
"""

from __future__ import annotations

import sys

from openai import OpenAI


def main(url: str) -> None:
    client = OpenAI(base_url=url, api_key="none")
    names = [model.id for model in client.models.list()]
    print("models:", ", ".join(names))
    base = next(name for name in names if name.startswith("base:"))
    answer = client.chat.completions.create(
        model=base, messages=[{"role": "user", "content": "Which kinds of files can I add?"}]
    )
    print(answer.choices[0].message.content)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080/v1")
