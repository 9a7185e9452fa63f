// The page. The free plan serves files, which is all it needs: the page calls the API by its own address.
param environmentName string
param location string
param tags object

resource site 'Microsoft.Web/staticSites@2025-05-01' = {
  name: 'onbrand-${environmentName}-page'
  location: location
  // azd finds by this tag where to upload the page.
  tags: union(tags, { 'azd-service-name': 'page' })
  sku: {
    name: 'Free'
    tier: 'Free'
  }
  properties: {
    allowConfigFileUpdates: true
    stagingEnvironmentPolicy: 'Disabled'
  }
}

output host string = site.properties.defaultHostname
