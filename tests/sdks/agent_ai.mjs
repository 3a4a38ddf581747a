// An agent on the AI SDK's streamText() or generateText(): what agent_openai.py does by hand. It has
// no namespaces.
import { createOpenAI } from '@ai-sdk/openai'
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'

globalThis.AI_SDK_LOG_WARNINGS = false
const { urls, whole } = JSON.parse(process.env.CASE)

function tools(openai, ran) {
  const noted = (name) => async (given) => {
    ran.push({ [name]: given })
    return 'done'
  }
  const inputSchema = jsonSchema({ type: 'object', properties: {} })
  const made = {
    exec_command: tool({ inputSchema, execute: noted('exec_command') }),
    search: tool({ inputSchema, execute: noted('search') }),
  }
  // Version 5 has no freeform tools.
  if (!openai.tools.customTool) return made
  const custom = openai.tools.customTool({ name: 'apply_patch', description: 'Patches.' })
  return { ...made, apply_patch: { ...custom, execute: noted('apply_patch') } }
}

async function turns(openai, seen) {
  const request = {
    model: openai('gpt-5.1-codex'),
    messages: [{ role: 'user', content: 'Go on.' }],
    tools: tools(openai, seen.ran),
    stopWhen: stepCountIs(2),
    maxRetries: 0,
    providerOptions: { openai: { store: false } },
  }
  return whole ? generated(request, seen) : streamed({ ...request, onError: () => {} }, seen)
}

const noteError = (part, seen) => seen.ran.push(String(part.error?.message ?? part.error))

async function generated(request, seen) {
  const [first] = (await generateText(request)).steps
  for (const part of first.content) if (part.type === 'tool-error') noteError(part, seen)
  return first
}

async function streamed(request, seen) {
  const written = {}
  const called = new Set()
  let steps = 0
  const result = streamText(request)
  for await (const part of result.fullStream) {
    if (part.type === 'error') throw part.error
    if (part.type === 'finish-step') steps += 1
    if (steps > 0) continue
    if (part.type === 'text-delta') seen.shown += part.text
    if (part.type === 'reasoning-delta') seen.thought += part.text
    if (part.type === 'tool-input-start' && !part.providerExecuted) written[part.id] = ''
    if (part.type === 'tool-input-delta' && part.id in written) written[part.id] += part.delta
    if (part.type === 'tool-call') called.add(part.toolCallId)
    if (part.type === 'tool-error') noteError(part, seen)
  }
  // What a page shows of a call while it is written belongs to a call that is then made.
  seen.written = Object.entries(written).map(([id, text]) => [text, called.has(id)])
  return (await result.steps)[0]
}

async function agent(baseURL) {
  const seen = { shown: '', thought: '', ran: [] }
  try {
    const first = await turns(createOpenAI({ apiKey: 'made-up', baseURL }), seen)
    const { inputTokens, outputTokens, totalTokens } = first.usage
    Object.assign(seen, {
      text: first.text,
      reasoning: first.reasoningText,
      usage: [inputTokens, outputTokens, totalTokens],
      end: first.finishReason,
      id: [first.response.id, first.providerMetadata?.openai?.responseId],
    })
  } catch (error) {
    seen.error = `${error?.name}: ${error?.message ?? JSON.stringify(error)}`
  }
  return seen
}

const all = []
for (const url of urls) all.push(await agent(url))
process.stdout.write(JSON.stringify(all), () => process.exit())
