// Two jobs: `migrate`, which infra/hooks/database.py starts, and `clean` every night, for the case that no API runs.
param environmentName string
param location string
param tags object
param environmentId string
param image string
param registryServer string
param identityId string
param identityClientId string
param databaseIdentityId string
param settings array

@secure()
param scalerPassword string

var env = concat(settings, [
  { name: 'ONBRAND_STORAGE_AZURE_CLIENT_ID', value: identityClientId }
])

var identity = {
  type: 'UserAssigned'
  userAssignedIdentities: {
    '${identityId}': {}
    '${databaseIdentityId}': {}
  }
}

resource migrate 'Microsoft.App/jobs@2026-07-01' = {
  name: 'onbrand-${environmentName}-migrate'
  location: location
  tags: tags
  identity: identity
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      replicaTimeout: 900
      replicaRetryLimit: 1
      manualTriggerConfig: {
        parallelism: 1
        replicaCompletionCount: 1
      }
      registries: [
        {
          server: registryServer
          identity: identityId
        }
      ]
      secrets: [
        {
          name: 'scaler-password'
          value: scalerPassword
        }
      ]
    }
    template: {
      containers: [
        {
          name: 'migrate'
          image: image
          args: ['migrate']
          env: concat(env, [
            { name: 'ONBRAND_SCALER_PASSWORD', secretRef: 'scaler-password' }
          ])
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
        }
      ]
    }
  }
}

resource clean 'Microsoft.App/jobs@2026-07-01' = {
  name: 'onbrand-${environmentName}-clean'
  location: location
  tags: tags
  identity: identity
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Schedule'
      replicaTimeout: 1800
      replicaRetryLimit: 1
      scheduleTriggerConfig: {
        cronExpression: '17 3 * * *'
        parallelism: 1
        replicaCompletionCount: 1
      }
      registries: [
        {
          server: registryServer
          identity: identityId
        }
      ]
    }
    template: {
      containers: [
        {
          name: 'clean'
          image: image
          args: ['clean']
          env: env
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
        }
      ]
    }
  }
}

output migrateName string = migrate.name
