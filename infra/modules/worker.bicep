// The worker with a GPU: none while there is no demand, and billed from the moment that one starts.
param environmentName string
param location string
param tags object
param environmentId string
param profileName string
param image string
param registryServer string
param identityId string
param identityClientId string
param databaseIdentityId string
param settings array
param cpu string
param memory string
param maxReplicas int
param databaseHost string
param databaseName string

@secure()
param scalerPassword string

resource app 'Microsoft.App/containerApps@2026-07-01' = {
  name: 'onbrand-${environmentName}-worker'
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
      '${databaseIdentityId}': {}
    }
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: profileName
    configuration: {
      activeRevisionsMode: 'Single'
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
      // Long enough to finish the job that is drawn when another version starts.
      terminationGracePeriodSeconds: 600
      containers: [
        {
          name: 'worker'
          image: image
          env: concat(settings, [
            { name: 'ONBRAND_STORAGE_AZURE_CLIENT_ID', value: identityClientId }
            { name: 'ONBRAND_SHUTDOWN_GRACE_SECONDS', value: '570' }
          ])
          resources: {
            cpu: json(cpu)
            memory: memory
          }
          volumeMounts: [
            {
              volumeName: 'data'
              mountPath: '/data'
            }
          ]
        }
      ]
      volumes: [
        {
          name: 'data'
          storageType: 'EmptyDir'
        }
      ]
      scale: {
        minReplicas: 0
        maxReplicas: maxReplicas
        pollingInterval: 10
        // Short: Onbrand itself keeps the demand up while a worker should stay warm.
        cooldownPeriod: 30
        rules: [
          {
            name: 'demand'
            custom: {
              type: 'postgresql'
              metadata: {
                host: databaseHost
                port: '5432'
                dbName: databaseName
                userName: 'onbrand_scaler'
                sslmode: 'require'
                query: 'select n from keda_gpu_demand'
                targetQueryValue: '3'
                activationTargetQueryValue: '0'
              }
              auth: [
                {
                  secretRef: 'scaler-password'
                  triggerParameter: 'password'
                }
              ]
            }
          }
        ]
      }
    }
  }
}
