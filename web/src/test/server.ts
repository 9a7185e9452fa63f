/** The network of the tests. Nothing answers unless a test adds a handler. */
import { setupServer } from 'msw/node';

export const server = setupServer();
