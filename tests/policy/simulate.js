// Decides the requests of the property test by @cloud-copilot/iam-simulate, which shares nothing with our two evaluators.
const fs = require('fs')
const { runSimulation } = require('@cloud-copilot/iam-simulate')

async function main() {
  const lines = fs.readFileSync(process.argv[2], 'utf8').trim().split('\n')
  const step = Math.max(1, Math.floor(lines.length / 3000))
  let judged = 0
  let allowed = 0
  for (let n = 0; n < lines.length; n += step) {
    const { policies, action, resource, context, allowed: expected } = JSON.parse(lines[n])
    const userName = context['aws:username']
    const principal = userName
      ? `arn:aws:iam::111122223333:user/${userName}`
      : `arn:aws:sts::111122223333:assumed-role/Engineer/${context['aws:userid'].split(':')[1]}`
    const request = { action, principal, resource: { resource, accountId: '111122223333' }, contextVariables: context }
    const identityPolicies = policies.map((policy, n) => ({ name: `p${n}`, policy }))
    const result = await runSimulation({ request, identityPolicies, serviceControlPolicies: [], resourceControlPolicies: [] }, {})
    if (result.resultType === 'error' || result.errors) {
      throw new Error(`${JSON.stringify(result.errors)} ${lines[n]}`)
    }
    const outcome = result.overallResult ?? result.result?.evaluationResult ?? result.analysis?.result
    if ((outcome === 'Allowed') !== expected) {
      throw new Error(`${outcome}, and we say ${expected}: ${lines[n]}`)
    }
    judged += 1
    allowed += expected ? 1 : 0
  }
  if (judged < 1000 || allowed < 100) throw new Error(`only ${judged} requests, ${allowed} allowed`)
  console.log(`${judged} requests judged alike, ${allowed} of them allowed`)
}

main().catch((error) => { console.error(error.message); process.exit(1) })
