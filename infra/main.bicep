// Everything of Onbrand in one resource group. docs/deploy.md leads through it; nobody has run it on Azure yet.
// Numbers come as text, because azd fills parameters from its environment as text.
targetScope = 'resourceGroup'

@description('Part of every name: small letters and digits.')
@minLength(2)
@maxLength(12)
param environmentName string

@description('The region. It must have the GPU profile; infra/hooks/preflight.py asks.')
param location string = resourceGroup().location

@description('Where the page is kept. Static Web Apps are in these regions only; they are served from everywhere.')
@allowed(['westus2', 'centralus', 'eastus2', 'westeurope', 'eastasia'])
param pageLocation string = 'westeurope'

@description('The registry that holds the two images. infra/registry.bicep makes it.')
param registryName string

@description('The API with its tag or digest, as the registry names it.')
param apiImage string

@description('The worker with its tag or digest, as the registry names it.')
param workerImage string

@description('The tenant whose members sign in.')
param entraTenantId string

@description('The registration of the API. infra/hooks/entra.py makes it.')
param entraApiClientId string

@description('The registration of the page. infra/hooks/entra.py makes it.')
param entraSpaClientId string

@description('Whoever holds this role in the registration of the API may generate.')
param entraRole string = 'Onbrand.Generate'

@description('Whoever holds this role may review brand packs.')
param entraReviewerRole string = 'Onbrand.Review'

@description('The model that draws.')
param model string = 'hidream-i1-dev'

@description('Where its base is: in the container for models unless it says otherwise.')
param modelPath string = 'az://models/hidream-i1-dev'

@description('A workload profile of Container Apps with one GPU.')
param gpuProfile string = 'Consumption-GPU-NC24-A100'

@description('Processors of one worker. Less than the whole profile may be cheaper, and may be refused.')
param workerCpu string = '24'

@description('Memory of one worker.')
param workerMemory string = '220Gi'

@description('The most workers at a time. Each is billed by itself.')
param workerMaxReplicas string = '1'

@description('Replicas of the API while nobody uses it. 0 is cheapest, and makes the first visitor wait about 20 seconds.')
param apiMinReplicas string = '1'

@description('Days for which images are kept.')
param retentionDays string = '30'

@description('The most that a month may cost, in US dollars.')
param monthlyBudgetUsd string = '50'

@description('What a month costs without any picture, in US dollars.')
param fixedUsdPerMonth string = '22'

@description('What a second of one worker costs, in US dollars. Look at your own price list.')
param gpuUsdPerSecond string

@description('Who gets the mail when the month becomes expensive.')
param budgetEmail string

@description('The first day of the month in which the alert was made. infra/hooks/preflight.py sets it once.')
param budgetStart string = utcNow('yyyy-MM-01')

@description('Origins that may call the API besides the page, such as a domain of the studio: with commas between.')
param moreOrigins string = ''

@description('The password of the role that reads the one view for the scaler. The one secret that is kept.')
@secure()
@minLength(24)
param scalerPassword string

@description('Nobody learns this password: people and programs sign in to the database with Entra.')
@secure()
param databaseAdminPassword string = 'A${newGuid()}'

var suffix = uniqueString(resourceGroup().id, environmentName)
var tags = { 'azd-env-name': environmentName }
var databaseName = 'onbrand'
var pageOrigin = 'https://${page.outputs.host}'
var origins = empty(moreOrigins) ? pageOrigin : '${pageOrigin},${moreOrigins}'

// What the API, the worker and the jobs are told alike. tests/infra compares the names with onbrand/config.py.
var settings = [
  { name: 'ONBRAND_ENV', value: 'production' }
  { name: 'ONBRAND_AUTH', value: 'entra' }
  { name: 'ONBRAND_ENTRA_TENANT_ID', value: entraTenantId }
  { name: 'ONBRAND_ENTRA_API_CLIENT_ID', value: entraApiClientId }
  { name: 'ONBRAND_ENTRA_SPA_CLIENT_ID', value: entraSpaClientId }
  { name: 'ONBRAND_ENTRA_ROLE', value: entraRole }
  { name: 'ONBRAND_ENTRA_REVIEWER_ROLE', value: entraReviewerRole }
  { name: 'ONBRAND_DATABASE_URL', value: database.outputs.url }
  { name: 'ONBRAND_DATABASE_AUTH', value: 'entra' }
  { name: 'ONBRAND_DATABASE_CLIENT_ID', value: identities.outputs.database.clientId }
  { name: 'ONBRAND_STORAGE_URL', value: 'az://${storage.outputs.imagesContainer}' }
  { name: 'ONBRAND_STORAGE_AZURE_ACCOUNT', value: storage.outputs.account }
  { name: 'ONBRAND_MODEL', value: model }
  { name: 'ONBRAND_MODEL_PATH', value: modelPath }
  { name: 'ONBRAND_RETENTION_HOURS', value: string(int(retentionDays) * 24) }
  { name: 'ONBRAND_MONTHLY_BUDGET_USD', value: monthlyBudgetUsd }
  { name: 'ONBRAND_FIXED_USD_PER_MONTH', value: fixedUsdPerMonth }
  { name: 'ONBRAND_GPU_USD_PER_SECOND', value: gpuUsdPerSecond }
]

module identities 'modules/identities.bicep' = {
  name: 'identities'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    registryName: registryName
  }
}

module environment 'modules/environment.bicep' = {
  name: 'environment'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    gpuProfile: gpuProfile
  }
}

module database 'modules/database.bicep' = {
  name: 'database'
  params: {
    serverName: 'onbrand-${environmentName}-${suffix}'
    databaseName: databaseName
    location: location
    tags: tags
    adminPassword: databaseAdminPassword
    ownerName: identities.outputs.database.name
    ownerPrincipalId: identities.outputs.database.principalId
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    accountName: take('onbrand${environmentName}${suffix}', 24)
    location: location
    tags: tags
    retentionDays: int(retentionDays)
    imagesPrincipalIds: [
      identities.outputs.api.principalId
      identities.outputs.worker.principalId
    ]
    modelsPrincipalIds: [
      identities.outputs.worker.principalId
    ]
  }
}

module page 'modules/page.bicep' = {
  name: 'page'
  params: {
    environmentName: environmentName
    location: pageLocation
    tags: tags
  }
}

module api 'modules/api.bicep' = {
  name: 'api'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    environmentId: environment.outputs.id
    image: apiImage
    registryServer: identities.outputs.registryServer
    identityId: identities.outputs.api.id
    identityClientId: identities.outputs.api.clientId
    databaseIdentityId: identities.outputs.database.id
    settings: settings
    origins: origins
    minReplicas: int(apiMinReplicas)
  }
}

module worker 'modules/worker.bicep' = {
  name: 'worker'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    environmentId: environment.outputs.id
    profileName: environment.outputs.gpuProfileName
    image: workerImage
    registryServer: identities.outputs.registryServer
    identityId: identities.outputs.worker.id
    identityClientId: identities.outputs.worker.clientId
    databaseIdentityId: identities.outputs.database.id
    settings: settings
    cpu: workerCpu
    memory: workerMemory
    maxReplicas: int(workerMaxReplicas)
    databaseHost: database.outputs.host
    databaseName: databaseName
    scalerPassword: scalerPassword
  }
}

module jobs 'modules/jobs.bicep' = {
  name: 'jobs'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    environmentId: environment.outputs.id
    image: apiImage
    registryServer: identities.outputs.registryServer
    identityId: identities.outputs.api.id
    identityClientId: identities.outputs.api.clientId
    databaseIdentityId: identities.outputs.database.id
    settings: settings
    scalerPassword: scalerPassword
  }
}

module budget 'modules/budget.bicep' = {
  name: 'budget'
  params: {
    environmentName: environmentName
    amount: int(monthlyBudgetUsd)
    startDate: budgetStart
    email: budgetEmail
  }
}

output ONBRAND_API_ADDRESS string = 'https://${api.outputs.host}'
output ONBRAND_PAGE_ADDRESS string = pageOrigin
output ONBRAND_MIGRATE_JOB string = jobs.outputs.migrateName
output ONBRAND_STORAGE_ACCOUNT string = storage.outputs.account
