// openai-node: its stream accumulator over a tool loop. It throws on whatever it cannot place.
import OpenAI from 'openai'

const { keeps, question, tools, warmth, summary } = JSON.parse(process.env.CASE)
const client = new OpenAI({ apiKey: 'made-up', baseURL: process.env.BASE_URL, maxRetries: 0 })

function runTool(call) {
  const given = JSON.parse(call.arguments)
  return call.name === 'weather' ? warmth[given.city] : String(given.a + given.b)
}

function outputs(response) {
  return response.output
    .filter((item) => item.type === 'function_call')
    .map((call) => ({
      type: 'function_call_output',
      call_id: call.call_id,
      output: runTool(call),
    }))
}

async function turn(request) {
  const stream = client.responses.stream(request)
  const last = {}
  let said = ''
  let thought = ''
  let written = ''
  let snapshot = ''
  stream.on('response.output_text.delta', (event) => (snapshot = event.snapshot))
  for await (const event of stream) {
    last.response = event.response
    if (event.type === 'response.output_text.delta') said += event.delta
    if (event.type === 'response.function_call_arguments.delta') written += event.delta
    if (/reasoning(_summary)?_text\.delta$/.test(event.type)) thought += event.delta
  }
  const final = await stream.finalResponse()
  // What was accumulated out of the deltas is what the terminal event says.
  const calls = final.output.filter((item) => item.type === 'function_call')
  if (final.output_text !== said || said !== snapshot) throw new Error(`${final.output_text} is not ${said}`)
  if (calls.map((call) => call.arguments).join('') !== written) throw new Error(written)
  if (last.response.output.length !== final.output.length) throw new Error('items were lost')
  return { final, thought }
}

const request = { model: process.env.MODEL, tools, input: [] }
if (keeps === 'conversation') request.conversation = (await client.conversations.create()).id
if (keeps === 'stateless') {
  request.store = false
  request.include = ['reasoning.encrypted_content']
}
if (summary) request.reasoning = { summary }

const thoughts = []
let fresh = [{ role: 'user', content: question }]
let response
while (fresh.length > 0) {
  const whole = keeps === 'history' || keeps === 'stateless'
  request.input = whole ? [...request.input, ...fresh] : fresh
  const { final, thought } = await turn(request)
  response = final
  thoughts.push(thought)
  if (whole) {
    // The accumulator adds members of its own, which are not for the wire.
    for (const { parsed_arguments, ...item } of response.output) request.input.push(item)
  }
  if (keeps === 'previous_response_id') request.previous_response_id = response.id
  fresh = outputs(response)
}

console.log(JSON.stringify({ answer: response.output_text, thoughts }))
