// The AI SDK with @ai-sdk/openai. It keeps its history itself, and by default sends much of it as
// item_reference: the gateway must know what is meant.
import { createOpenAI } from '@ai-sdk/openai'
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'

const { mode, options, question, functions, warmth, built_in, more } = JSON.parse(process.env.CASE)
const openai = createOpenAI({ apiKey: 'made-up', baseURL: process.env.BASE_URL })

const results = {
  weather: ({ city }) => warmth[city],
  add: ({ a, b }) => String(a + b),
}
const calls = []

function functionTools() {
  return Object.fromEntries(
    functions.map(({ name, description, parameters }) => [
      name,
      tool({
        description,
        inputSchema: jsonSchema(parameters),
        execute: async (given) => {
          calls.push([name, given])
          return results[name](given)
        },
      }),
    ]),
  )
}

// What the SDK calls a provider-defined tool, and what one returns.
const outputs = {
  localShell: { output: 'done' },
  shell: { output: [{ stdout: 'done', stderr: '', outcome: { type: 'exit', exitCode: 0 } }] },
  applyPatch: { status: 'completed', output: 'done' },
  customTool: 'done',
}

function builtInTool(kind) {
  const execute = async (given) => {
    calls.push([kind, given])
    return outputs[kind]
  }
  if (kind !== 'customTool') return openai.tools[kind]({ execute })
  const made = openai.tools.customTool({ name: 'note', description: 'Takes a note.' })
  return { ...made, execute }
}

const tools = built_in ? { [built_in.name]: builtInTool(built_in.kind) } : functionTools()

async function ask(messages) {
  const request = {
    model: openai(process.env.MODEL),
    messages,
    tools,
    stopWhen: stepCountIs(6),
    maxRetries: 0,
    providerOptions: { openai: options },
  }
  if (mode === 'generateText') return generateText(request)
  const result = streamText({ ...request, onError: () => {} })
  for await (const part of result.fullStream) if (part.type === 'error') throw part.error
  return {
    text: await result.text,
    steps: await result.steps,
    response: await result.response,
    responseMessages: await result.responseMessages,
  }
}

const messages = [{ role: 'user', content: question }]
const first = await ask(messages)
const told = {
  answer: first.text,
  reasoning: first.steps.map((step) => step.reasoningText ?? ''),
  calls,
}
if (more) {
  // Before version 7 the response has the messages of all steps.
  const said = first.responseMessages ?? first.response.messages
  messages.push(...said, { role: 'user', content: more })
  told.more = (await ask(messages)).text
}
console.log(JSON.stringify(told))
