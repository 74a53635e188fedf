"""LangGraph's map: one `Send` an input to a node with a RetryPolicy. Runs in `.venv-bench`, by file.

Usage: `python benchmarks/peer_fanout_langgraph.py URL WIDTH BACKOFF_S`, then lines `{"calls": N}`.
"""

import operator
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from langchain_core.messages import HumanMessage  # type: ignore[import-not-found,unused-ignore]
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found,unused-ignore]
from langgraph.graph import END, START, StateGraph  # type: ignore[import-not-found,unused-ignore]
from langgraph.types import RetryPolicy, Send  # type: ignore[import-not-found,unused-ignore]

from benchmarks.payload import MAX_TOKENS, MODEL, prompt
from benchmarks.peer_fanout_loop import ATTEMPTS, serve


class State(TypedDict):
    """The graph's state: the prompts, and the answers as they are added."""

    prompts: list[str]
    answers: Annotated[list[str], operator.add]


def _graph(url: str, backoff_s: float) -> Any:
    model = ChatOpenAI(
        model=MODEL, base_url=f"{url}/v1", api_key="none", max_retries=0, max_completion_tokens=MAX_TOKENS
    )

    async def ask(text: str) -> dict[str, list[str]]:
        reply = await model.ainvoke([HumanMessage(text)])
        return {"answers": [str(reply.content)]}

    def spread(state: State) -> list[Any]:
        return [Send("ask", text) for text in state["prompts"]]

    graph = StateGraph(State)
    graph.add_node("ask", ask, retry_policy=RetryPolicy(initial_interval=backoff_s, max_attempts=ATTEMPTS))
    graph.add_conditional_edges(START, spread, ["ask"])
    graph.add_edge("ask", END)
    return graph.compile()


def main() -> None:
    """See the module's docstring."""
    graph, width = _graph(sys.argv[1], float(sys.argv[3])), int(sys.argv[2])

    async def run(calls: int) -> int:
        prompts = [prompt(number) for number in range(calls)]
        state = await graph.ainvoke({"prompts": prompts, "answers": []}, {"max_concurrency": width})
        return sum(map(bool, state["answers"]))

    serve(run)


if __name__ == "__main__":
    main()
