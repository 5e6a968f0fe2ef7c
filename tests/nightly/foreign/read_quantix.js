// Reads with @quantix-ict/exact-online, whose addresses are constants: fetch sends them to the sandbox.
const given = JSON.parse(process.argv[2])
const real = 'https://start.exactonline.nl'
const send = globalThis.fetch
globalThis.fetch = (url, options) => send(String(url).replace(real, given.base_url), options)

const { Exact } = require('@quantix-ict/exact-online')

async function main() {
  const exact = new Exact({
    clientId: given.client_id,
    clientSecret: given.client_secret,
    redirectUri: given.redirect_uri,
  })
  await exact.connect(given.code)
  const division = await exact.getCurrentDivision()
  const params = { $select: 'ID,Description' }
  const journals = await exact.request({ endpoint: '/financial/Journals', params, division })
  const changed = { $select: 'ID,Name,Timestamp', $filter: 'Timestamp gt 1' }
  const synced = await exact.request({ endpoint: '/sync/CRM/Accounts', params: changed, division })
  const refused = await exact
    .request({ endpoint: '/crm/Accounts', params: { $select: 'Nope' }, division })
    .catch((error) => error.message)
  console.log(
    JSON.stringify({
      division,
      journals: journals.results.map((row) => row.ID),
      accounts: synced.results.map((row) => row.ID),
      refused,
    }),
  )
}

main()
