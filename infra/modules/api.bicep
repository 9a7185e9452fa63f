// The API. Before it starts, the same image brings the database's schema up to date.
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
param origins string
param minReplicas int

var env = concat(settings, [
  { name: 'ONBRAND_STORAGE_AZURE_CLIENT_ID', value: identityClientId }
  { name: 'ONBRAND_HOST', value: '0.0.0.0' }
  { name: 'ONBRAND_PORT', value: '8000' }
  { name: 'ONBRAND_CORS_ORIGINS', value: origins }
])

resource app 'Microsoft.App/containerApps@2026-07-01' = {
  name: 'onbrand-${environmentName}-api'
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
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      registries: [
        {
          server: registryServer
          identity: identityId
        }
      ]
      ingress: {
        external: true
        targetPort: 8000
        transport: 'auto'
        allowInsecure: false
      }
    }
    template: {
      terminationGracePeriodSeconds: 60
      initContainers: [
        {
          name: 'migrate'
          image: image
          args: ['migrate']
          env: env
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
        }
      ]
      containers: [
        {
          name: 'api'
          image: image
          env: env
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/healthz'
                port: 8000
              }
              periodSeconds: 2
              failureThreshold: 30
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/healthz'
                port: 8000
              }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 6
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/readyz'
                port: 8000
              }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
          ]
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
        minReplicas: minReplicas
        maxReplicas: 2
      }
    }
  }
}

output host string = app.properties.configuration.ingress.fqdn
