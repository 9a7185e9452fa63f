/** The network of the tests: nothing answers unless a test says so. */
import { setupServer } from 'msw/node';

export const server = setupServer();
