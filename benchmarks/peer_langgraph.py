"""A LangGraph graph of one node that asks langchain-openai's ChatOpenAI. Runs in `.venv-bench`, by file.

Usage: `python benchmarks/peer_langgraph.py URL WORKERS`, then lines `{"calls": N}`.
"""

import sys
from pathlib import Path
from typing import Any, TypedDict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from langchain_core.messages import HumanMessage  # type: ignore[import-not-found,unused-ignore]
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found,unused-ignore]
from langgraph.graph import END, START, StateGraph  # type: ignore[import-not-found,unused-ignore]

from benchmarks.payload import MAX_TOKENS, MODEL, prompt
from benchmarks.peer_loop import serve


class State(TypedDict):
    """The graph's state: what is asked, and what was answered."""

    prompt: str
    answer: str


def _graph(url: str) -> Any:
    model = ChatOpenAI(
        model=MODEL, base_url=f"{url}/v1", api_key="none", max_retries=0, max_completion_tokens=MAX_TOKENS
    )

    async def ask(state: State) -> dict[str, str]:
        reply = await model.ainvoke([HumanMessage(state["prompt"])])
        return {"answer": str(reply.content)}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile()


def main() -> None:
    """See the module's docstring."""
    graph = _graph(sys.argv[1])

    async def call(number: int) -> None:
        state = await graph.ainvoke({"prompt": prompt(number), "answer": ""})
        assert state["answer"]

    serve(call, int(sys.argv[2]))


if __name__ == "__main__":
    main()
