"""How tests call the local models: with the providers' own clients, pydantic-ai and plain HTTP."""

import asyncio
import http.client
import json
from typing import Literal

import anthropic
import openai
from google import genai
from google.genai import types
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider
from tests.servers.models import PROVIDERS

KEY = "sk-test-1234567890"
NAMES = {"openai": "gpt-5.1", "compatible": "qwen3", "anthropic": "claude-sonnet-4-6", "google": "gemini-2.5-pro"}
KEY_HEADER = dict.fromkeys(PROVIDERS, "header authorization") | {"google": "header x-goog-api-key"}
PLAN = {"table": "orders", "note": 'a "quoted" ř'}
SCHEMA = {
    "type": "object",
    "properties": {"table": {"enum": ["orders", "people"]}, "note": {"type": "string"}},
    "required": ["table", "note"],
    "additionalProperties": False,
}


class Plan(BaseModel):
    """Which table to read."""

    table: Literal["orders", "people"]
    note: str


def ask_openai(name, how):
    """Return the arguments for the `openai` client."""
    tool = {"type": "function", "function": {"name": "plan", "parameters": SCHEMA, "strict": True}}
    schema = {"type": "json_schema", "json_schema": {"name": "plan", "schema": SCHEMA, "strict": True}}
    more = {"tool": {"tools": [tool], "tool_choice": "required"}, "native": {"response_format": schema}}.get(how, {})
    told = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Which table?"}]
    return {"model": name, "messages": told} | more


def ask_anthropic(name, how):
    """Return the arguments for the `anthropic` client."""
    tool = {"name": "plan", "description": "", "input_schema": SCHEMA}
    schema = {"format": {"type": "json_schema", "schema": SCHEMA}}
    more = {"tool": {"tools": [tool], "tool_choice": {"type": "any"}}, "native": {"output_config": schema}}.get(how, {})
    told = [{"role": "user", "content": "Which table?"}]
    return {"model": name, "max_tokens": 99, "system": "Be brief.", "messages": told} | more


def ask_google(name, how):
    """Return the arguments for the `google-genai` client."""
    function = types.FunctionDeclaration(name="plan", parameters_json_schema=SCHEMA)
    calling = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY"))
    more = {
        "tool": {"tools": [types.Tool(function_declarations=[function])], "tool_config": calling},
        "native": {"response_mime_type": "application/json", "response_json_schema": SCHEMA},
    }.get(how, {})
    config = types.GenerateContentConfig(system_instruction="Be brief.", **more)
    return {"model": name, "contents": "Which table?", "config": config}


def openai_client(server, provider):
    return openai.OpenAI(base_url=server.url(provider), api_key=KEY, max_retries=0, timeout=60)


def anthropic_client(server, provider):
    return anthropic.Anthropic(base_url=server.url(provider), api_key=KEY, max_retries=0, timeout=60)


def google_client(server, provider):
    options = types.HttpOptions(base_url=server.url(provider), timeout=60_000)
    return genai.Client(api_key=KEY, vertexai=False, http_options=options)


def by_client(server, provider, how="text"):
    """Call with the provider's own client; returns text, finish reason, arguments of a call, tokens (in, out)."""
    name = NAMES[provider]
    if provider == "anthropic":
        with anthropic_client(server, provider) as client:
            return read_anthropic(client.messages.create(**ask_anthropic(name, how)))
    if provider == "google":
        with google_client(server, provider) as client:
            answer = client.models.generate_content(**ask_google(name, how))
            return read_google([answer])
    with openai_client(server, provider) as client:
        answer = client.chat.completions.create(**ask_openai(name, how))
    return read_openai(answer.choices[0], answer.usage)


def by_stream(server, provider, how="text"):
    """The same, with a streamed answer."""
    name = NAMES[provider]
    if provider == "anthropic":
        with anthropic_client(server, provider) as client, client.messages.stream(**ask_anthropic(name, how)) as stream:
            return read_anthropic(stream.get_final_message())
    if provider == "google":
        with google_client(server, provider) as client:
            return read_google(list(client.models.generate_content_stream(**ask_google(name, how))))
    told = {"stream_options": {"include_usage": True}} | ask_openai(name, how)
    with openai_client(server, provider) as client, client.chat.completions.stream(**told) as stream:
        answer = stream.get_final_completion()
    return read_openai(answer.choices[0], answer.usage)


def read_openai(choice, usage):
    calls = choice.message.tool_calls
    called = json.loads(calls[0].function.arguments) if calls else None
    return choice.message.content, choice.finish_reason, called, (usage.prompt_tokens, usage.completion_tokens)


def read_anthropic(answer):
    words = [block.text for block in answer.content if block.type == "text"]
    calls = [block.input for block in answer.content if block.type == "tool_use"]
    tokens = (answer.usage.input_tokens + answer.usage.cache_read_input_tokens, answer.usage.output_tokens)
    return next(iter(words), None), answer.stop_reason, next(iter(calls), None), tokens


def read_google(answers):
    candidates = [candidate for answer in answers for candidate in answer.candidates or ()]
    parts = [part for one in candidates if one.content for part in one.content.parts or ()]
    words = "".join(part.text for part in parts if part.text)
    calls = [part.function_call.args for part in parts if part.function_call]
    last = answers[-1]
    reason = candidates[-1].finish_reason if candidates else last.prompt_feedback.block_reason
    tokens = (last.usage_metadata.prompt_token_count, last.usage_metadata.candidates_token_count)
    return words or None, reason.value, next(iter(calls), None), tokens


def run(server, provider, output=str, prompt="Which table?", *, retries=1, timeout=60, tools=(), **more):
    """Call with pydantic-ai, whose provider closes its connections when the block ends."""
    url, name = server.url(provider), NAMES[provider]
    kinds = {"openai": (OpenAIChatModel, OpenAIProvider), "compatible": (OpenAIChatModel, OllamaProvider)}
    kinds |= {"anthropic": (AnthropicModel, AnthropicProvider), "google": (GoogleModel, GoogleProvider)}
    kind, service = kinds[provider]
    agent = Agent(
        kind(name, provider=service(base_url=url, api_key=KEY)),
        output_type=output,
        instructions="Be brief.",
        retries=retries,
        tools=tools,
        model_settings={"max_retries": 0, "timeout": timeout},
    )

    async def answer():
        async with agent:
            return await agent.run(prompt, **more)

    return asyncio.run(answer())


def post(server, provider, body, *, path=None, verb="POST", **headers):
    """Send a plain HTTP request; returns status, headers and the unchanged body."""
    host = server.url(provider).split("/")[2]
    paths = dict.fromkeys(PROVIDERS, "/v1/chat/completions") | {"anthropic": "/v1/messages"}
    paths["google"] = "/v1beta/models/gemini-2.5-pro:generateContent"
    sent = {"authorization": "Bearer k", "x-goog-api-key": "k", "anthropic-version": "2023-06-01"}
    sent |= {name.lower().replace("_", "-"): words for name, words in headers.items()}
    sent = {name: words for name, words in sent.items() if words}
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request(verb, path or paths[provider], body if isinstance(body, bytes) else json.dumps(body), sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


HELLO = {
    "openai": {"model": "gpt-5.1", "messages": [{"role": "user", "content": "hi"}]},
    "compatible": {"model": "qwen3", "messages": [{"role": "user", "content": "hi"}]},
    "anthropic": {"model": "claude-opus-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "google": {"contents": [{"parts": [{"text": "hi"}]}]},
}
